/* driver/show.c: numbers and pictures, for people and for programs. */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

void put_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20)
            fprintf(out, "\\u%04x", *p);
        else
            fputc(*p, out);
    }
    fputc('"', out);
}

void put_json_number(FILE *out, double value) {
    if (isfinite(value))
        fprintf(out, "%.9g", value);
    else
        fputs("null", out); /* JSON has no infinities */
}

void put_scores_json(FILE *out, const DlrtModel *model, const DlrtScores *scores) {
    fputs("{\"loss\":", out);
    put_json_number(out, scores->loss);
    for (uint32_t i = 0; i < model->nmetrics; i++) {
        fputc(',', out);
        put_json_string(out, model->metrics[i]);
        fputc(':', out);
        put_json_number(out, scores->metrics[i]);
    }
    fputc('}', out);
}

double without_sign(double value) {
    return isnan(value) ? (double)NAN : value;
}

void put_scores(FILE *out, const DlrtModel *model, const DlrtScores *scores) {
    fprintf(out, "loss %-8.5g", without_sign(scores->loss));
    for (uint32_t i = 0; i < model->nmetrics; i++)
        fprintf(out, "  %s %-7.4g", model->metrics[i], without_sign(scores->metrics[i]));
}

/* The two dimensions that make a picture: the last two, when all before them are 1. */
static bool picture_size(const DlrtPort *port, int64_t *rows, int64_t *columns) {
    if (port->classes || port->rank < 2) return false;
    *rows = port->dims[port->rank - 2];
    *columns = port->dims[port->rank - 1];
    return port->elements == *rows * *columns && *rows > 1 && *columns > 1 && *rows <= 64 &&
           *columns <= 64;
}

bool put_picture(FILE *out, const DlrtPort *port, const float *values) {
    static const char shades[] = " .:-=+*#%@";
    int64_t rows, columns;
    if (!picture_size(port, &rows, &columns)) return false;
    float low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < port->elements; i++) {
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
    }
    float range = high > low ? high - low : 1;
    for (int64_t r = 0; r < rows; r++) {
        fputs("    ", out);
        for (int64_t c = 0; c < columns; c++) {
            int shade = (int)((values[r * columns + c] - low) / range * 9 + 0.5f);
            /* Characters are about twice as high as wide. */
            fputc(shades[shade], out);
            fputc(shades[shade], out);
        }
        fputc('\n', out);
    }
    return true;
}

void put_counted(FILE *out, int64_t n, const char *what) {
    fprintf(out, "%lld %s%s", (long long)n, what, n == 1 ? "" : "s");
}

void put_example_count(FILE *out, const DlrtScores *scores) {
    fputs("  (", out);
    put_counted(out, scores->count, "example");
    fputs(")\n", out);
}

static void put_scaled(FILE *out, double value, double base, const char *const *units) {
    int unit = 0;
    while (value >= base && unit < 4) value /= base, unit++;
    int digits = !unit || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    fprintf(out, "%.*f%s%s", digits, value, *units[unit] ? " " : "", units[unit]);
}

void put_bytes(FILE *out, double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    put_scaled(out, bytes, 1024, units);
}

void put_count(FILE *out, double count) {
    static const char *const units[] = {"", "thousand", "million", "billion", "trillion"};
    put_scaled(out, count, 1000, units);
}
