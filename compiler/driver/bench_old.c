/* driver/bench_old.c: what `dlc bench --json` of another run says.
 *
 * in:   a file      out: OldBench
 * Reads any JSON and keeps what it knows: numbers of the outermost object by their keys, and of
 * each object in "kernels" its name and its time. The depth is limited, as the file may be
 * anything.
 */
#include "driver/bench.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTH = 16, MOST_BYTES = 64 << 20 };

typedef struct Reader {
    const char *path, *at;
    OldBench *old;
    bool failed;
} Reader;

static bool fail(Reader *r) {
    r->failed = true;
    return false;
}

static bool accept(Reader *r, char c) {
    while (*r->at && strchr(" \t\r\n", *r->at)) r->at++;
    if (*r->at != c) return false;
    r->at++;
    return true;
}

/* A text, cut to the buffer; its escapes stay as they are. */
static bool read_text(Reader *r, char *buffer, size_t size) {
    size_t n = 0;
    if (!accept(r, '"')) return fail(r);
    for (; *r->at != '"'; r->at++) {
        if (!*r->at || (*r->at == '\\' && !r->at[1])) return fail(r);
        if (n + 2 < size) buffer[n++] = *r->at;
        if (*r->at != '\\') continue;
        r->at++;
        if (n + 2 < size) buffer[n++] = *r->at;
    }
    buffer[n] = 0;
    r->at++;
    return true;
}

static OldKernel *add_kernel(OldBench *old) {
    if (old->nkernels == old->capacity) {
        size_t capacity = old->capacity ? 2 * old->capacity : 64;
        OldKernel *grown = realloc(old->kernels, capacity * sizeof *grown);
        if (!grown) return NULL;
        old->kernels = grown;
        old->capacity = capacity;
    }
    old->kernels[old->nkernels] = (OldKernel){.name = "", .ms = NAN};
    return &old->kernels[old->nkernels++];
}

static double *number_of(OldBench *old, const char *key) {
    const struct {
        const char *key;
        double *value;
    } known[] = {{"batch", &old->batch},
                 {"forward_ms", &old->forward},
                 {"backward_ms", &old->backward},
                 {"update_ms", &old->update},
                 {"step_ms", &old->step},
                 {"inference_ms", &old->inference},
                 {"inference_one_ms", &old->inference_one},
                 {"compile_ms", &old->compile}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(key, known[i].key) == 0) return known[i].value;
    return NULL;
}

static bool read_value(Reader *r, int depth, double *number, bool kernels, OldKernel *kernel);

static bool read_object(Reader *r, int depth, OldKernel *kernel) {
    char key[64];
    if (accept(r, '}')) return true;
    do {
        if (!read_text(r, key, sizeof key) || !accept(r, ':')) return fail(r);
        double *number = NULL;
        if (kernel && strcmp(key, "name") == 0) {
            if (!read_text(r, kernel->name, sizeof kernel->name)) return false;
            continue;
        }
        if (depth == 1 && strcmp(key, "model") == 0) {
            if (!read_text(r, r->old->model, sizeof r->old->model)) return false;
            continue;
        }
        if (kernel && strcmp(key, "ms") == 0) number = &kernel->ms;
        if (depth == 1) number = number_of(r->old, key);
        bool kernels = depth == 1 && strcmp(key, "kernels") == 0;
        if (!read_value(r, depth, number, kernels, NULL)) return false;
    } while (accept(r, ','));
    return accept(r, '}') || fail(r);
}

static bool read_array(Reader *r, int depth, bool kernels) {
    if (accept(r, ']')) return true;
    do {
        OldKernel *kernel = kernels ? add_kernel(r->old) : NULL;
        if (kernels && !kernel) return fail(r);
        if (!read_value(r, depth, NULL, false, kernel)) return false;
    } while (accept(r, ','));
    return accept(r, ']') || fail(r);
}

/* A number goes to *number, the objects of an array to kernels. */
static bool read_value(Reader *r, int depth, double *number, bool kernels, OldKernel *kernel) {
    static const char *const words[] = {"true", "false", "null"};
    char text[8];
    if (depth == MOST_DEPTH) return fail(r);
    if (accept(r, '{')) return read_object(r, depth + 1, kernel);
    if (accept(r, '[')) return read_array(r, depth + 1, kernels);
    if (*r->at == '"') return read_text(r, text, sizeof text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if (strncmp(r->at, words[i], length) != 0) continue;
        r->at += length;
        return true;
    }
    char *end;
    double value = strtod(r->at, &end);
    if (end == r->at) return fail(r);
    if (number) *number = value;
    r->at = end;
    return true;
}

/* The whole file as a text. */
static char *contents_of(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = file ? malloc(MOST_BYTES) : NULL;
    size_t n = text ? fread(text, 1, MOST_BYTES - 1, file) : 0;
    bool good = text && !ferror(file) && n < MOST_BYTES - 1;
    if (!good)
        fprintf(stderr, "error: cannot read %s: %s\n", path,
                file ? "it is too large" : strerror(errno));
    if (file) fclose(file);
    if (!good) {
        free(text);
        return NULL;
    }
    text[n] = 0;
    return text;
}

bool bench_read_old(const char *path, OldBench *old) {
    *old = (OldBench){.batch = NAN,
                      .forward = NAN,
                      .backward = NAN,
                      .update = NAN,
                      .step = NAN,
                      .inference = NAN,
                      .inference_one = NAN,
                      .compile = NAN};
    char *text = contents_of(path);
    if (!text) return false;
    Reader r = {.path = path, .at = text, .old = old};
    bool good = accept(&r, '{') && read_object(&r, 1, NULL);
    if (!good || (isnan(old->step) && isnan(old->forward))) {
        fprintf(stderr, "error: %s is not what `dlc bench --json` writes\n", path);
        good = false;
    }
    free(text);
    if (!good) bench_free_old(old);
    return good;
}

void bench_free_old(OldBench *old) {
    free(old->kernels);
    old->kernels = NULL;
    old->nkernels = 0;
}

double bench_old_kernel(const OldBench *old, const char *name, size_t n) {
    for (size_t i = 0; i < old->nkernels; i++)
        if (strcmp(old->kernels[i].name, name) == 0 && n-- == 0) return old->kernels[i].ms;
    return NAN;
}
