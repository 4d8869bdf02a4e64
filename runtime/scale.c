/* runtime/scale.c: missing values and scaling.
 *
 * in: blocks, the parts, the `missing`, `scale` and `standardize` statements
 * out: blocks without missing values; center, factor and offset of each element of each port
 * invariant: statistics come from the training part only, or from the weights that were trained
 * before, and are applied to every part.
 */
#include "runtime/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The block and the row in it that hold a row of all sources. */
static const Block *find_row(const Loader *loader, uint32_t port, int64_t row, int64_t *within) {
    uint32_t s = 0;
    while (row >= loader->sources[s].rows) row -= loader->sources[s++].rows;
    *within = row;
    return &loader->sources[s].blocks[port];
}

/* ---- missing values ---------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double mean_of(const double *values, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += values[i];
    return sum / (double)n;
}

static double median_of(double *values, int64_t n) {
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return n % 2 ? values[n / 2] : values[n / 2 - 1] / 2 + values[n / 2] / 2;
}

/* What stands for a missing value of an element, NaN when the training part has no value; `values`
 * has room for the training part. */
static double find_fill(const Loader *loader, uint32_t port, int64_t element, double *values) {
    const DlrtData *data = loader->data;
    int64_t n = 0;
    for (int64_t i = 0; i < data->count[DLRT_TRAIN]; i++) {
        int64_t row;
        const Block *block = find_row(loader, port, data->rows[DLRT_TRAIN][i], &row);
        if (block->type != NUMBER_NATIVE) continue;
        double value = ((const double *)block->values)[row * block->step + element];
        if (!isnan(value)) values[n++] = value;
    }
    if (n == 0) return NAN;
    return loader->spec->missing == DLRT_MISSING_MEDIAN ? median_of(values, n) : mean_of(values, n);
}

static bool fail_fill(const Loader *loader, uint32_t port, int64_t element) {
    return error_set(loader->error, (Place){0},
                     "number %lld of `%s` has no value in the training part, so there is no "
                     "%s for the missing ones",
                     (long long)element + 1, loader->ports[port]->name,
                     loader->spec->missing == DLRT_MISSING_MEDIAN ? "median" : "mean");
}

static bool fill_element(const Loader *loader, uint32_t port, int64_t element, double fill) {
    for (uint32_t s = 0; s < loader->spec->nsources; s++) {
        const Block *block = &loader->sources[s].blocks[port];
        if (block->type != NUMBER_NATIVE) continue;
        for (int64_t row = 0; row < block->rows; row++) {
            double *value = (double *)block->values + row * block->step + element;
            if (!isnan(*value)) continue;
            if (isnan(fill)) return fail_fill(loader, port, element);
            *value = fill;
        }
    }
    return true;
}

static bool drop_rows(Loader *loader) {
    int64_t first = 0;
    for (uint32_t s = 0; s < loader->spec->nsources; first += loader->sources[s].rows, s++)
        for (uint32_t p = 0; p < loader->nports; p++) {
            const Block *block = &loader->sources[s].blocks[p];
            if (block->type != NUMBER_NATIVE || loader_may_lack(loader, p)) continue;
            const double *values = block->values;
            for (int64_t row = 0; row < block->rows; row++)
                for (int64_t e = 0; e < block->elements; e++)
                    if (isnan(values[row * block->step + e])) loader->dropped[first + row] = true;
        }
    return true;
}

/* With `skip` before the parts are made, otherwise after, as the parts give the statistics. */
bool scale_drop_missing(Loader *loader) {
    return loader->spec->missing != DLRT_MISSING_SKIP || drop_rows(loader);
}

/* Whether there are values that can be missing: those of tables. */
static bool has_missing(const Loader *loader, uint32_t port) {
    for (uint32_t s = 0; s < loader->spec->nsources; s++)
        if (loader->sources[s].blocks[port].type == NUMBER_NATIVE) return true;
    return false;
}

/* Noted for elements that miss nothing, too: they may in the data that the weights see later. */
static bool fill_port(Loader *loader, uint32_t port, double *values) {
    const DlrtPort *p = loader->ports[port];
    double *fill = pool_take(&loader->pool, p->elements, sizeof *fill);
    if (!fill) return error_memory(loader->error, "missing values");
    if (notes_have(loader->known, p->name, "missing")) {
        if (!notes_numbers(loader, p->name, "missing", fill, p->elements)) return false;
    } else {
        for (int64_t e = 0; e < p->elements; e++) fill[e] = find_fill(loader, port, e, values);
    }
    for (int64_t e = 0; e < p->elements; e++)
        if (!fill_element(loader, port, e, fill[e])) return false;
    return notes_put_numbers(loader, p->name, "missing", fill, p->elements);
}

bool scale_fill_missing(Loader *loader) {
    DlrtMissing missing = loader->spec->missing;
    if (missing != DLRT_MISSING_MEAN && missing != DLRT_MISSING_MEDIAN) return true;
    double *values = pool_take(&loader->pool, loader->data->count[DLRT_TRAIN], sizeof *values);
    if (!values) return error_memory(loader->error, "missing values");
    for (uint32_t p = 0; p < loader->nports; p++)
        if (!loader->ports[p]->classes && !loader_may_lack(loader, p) && has_missing(loader, p) &&
            !fill_port(loader, p, values))
            return false;
    return true;
}

/* ---- scaling ----------------------------------------------------------------------------- */

/* Per element over the training part: mean, and the deviation, 1 where all values are equal. */
typedef struct Statistics {
    double *row, *mean, *deviation, *low, *high;
} Statistics;

static bool measure(const Loader *loader, uint32_t port, Statistics *s) {
    const DlrtData *data = loader->data;
    int64_t elements = loader->ports[port]->elements, n = data->count[DLRT_TRAIN], within;
    if (n == 0)
        return error_set(loader->error, (Place){0},
                         "`standardize %s` needs examples for training: there are none",
                         loader->ports[port]->name);
    for (int64_t i = 0; i < n; i++) {
        const Block *block = find_row(loader, port, data->rows[DLRT_TRAIN][i], &within);
        block_row(block, within, s->row);
        for (int64_t e = 0; e < elements; e++) {
            s->mean[e] += s->row[e];
            if (i == 0 || s->row[e] < s->low[e]) s->low[e] = s->row[e];
            if (i == 0 || s->row[e] > s->high[e]) s->high[e] = s->row[e];
        }
    }
    for (int64_t e = 0; e < elements; e++) s->mean[e] /= (double)n;
    for (int64_t e = 0; e < elements; e++)
        if (isnan(s->mean[e]))
            return error_set(loader->error, (Place){0},
                             "`standardize %s` needs all its values in the training part, or "
                             "weights that know their mean and deviation",
                             loader->ports[port]->name);
    for (int64_t i = 0; i < n; i++) {
        const Block *block = find_row(loader, port, data->rows[DLRT_TRAIN][i], &within);
        block_row(block, within, s->row);
        for (int64_t e = 0; e < elements; e++)
            s->deviation[e] += (s->row[e] - s->mean[e]) * (s->row[e] - s->mean[e]);
    }
    for (int64_t e = 0; e < elements; e++) {
        if (s->low[e] == s->high[e]) s->mean[e] = s->low[e];
        s->deviation[e] = s->low[e] == s->high[e] ? 0 : sqrt(s->deviation[e] / (double)n);
    }
    return true;
}

static bool take_statistics(Loader *loader, int64_t elements, Statistics *s) {
    double **arrays[] = {&s->row, &s->mean, &s->deviation, &s->low, &s->high};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        if (!(*arrays[i] = pool_take(&loader->pool, elements, sizeof(double))))
            return error_memory(loader->error, "scaling");
    return true;
}

/* The scaling before this one was affine, so that its result standardized is the raw value
 * standardized, up to the factor's sign. */
static bool standardize(Loader *loader, uint32_t port) {
    PortData *p = &loader->data->ports[port];
    Statistics s;
    if (!take_statistics(loader, p->elements, &s)) return false;
    bool good = notes_have(loader->known, p->name, "mean")
                    ? notes_numbers(loader, p->name, "mean", s.mean, p->elements) &&
                          notes_numbers(loader, p->name, "deviation", s.deviation, p->elements)
                    : measure(loader, port, &s);
    if (!good || !notes_put_numbers(loader, p->name, "mean", s.mean, p->elements) ||
        !notes_put_numbers(loader, p->name, "deviation", s.deviation, p->elements))
        return false;
    for (int64_t e = 0; e < p->elements; e++) {
        p->center[e] = s.mean[e];
        p->offset[e] = 0;
        if (s.deviation[e] > 0) p->factor[e] = (p->factor[e] < 0 ? -1 : 1) / s.deviation[e];
    }
    return true;
}

static bool apply(Loader *loader, const DlrtScale *scale) {
    int port = loader_find_port(loader, scale->port);
    const char *word = scale->standardize ? "standardize" : "scale";
    if (port < 0)
        return error_set(loader->error, (Place){0},
                         "`%s %s`: the model has no such input or target", word,
                         error_quote(scale->port ? scale->port : "").text);
    PortData *p = &loader->data->ports[port];
    if (p->classes)
        return error_set(loader->error, (Place){0}, "`%s %s`: classes cannot be scaled", word,
                         p->name);
    if (scale->standardize) return standardize(loader, (uint32_t)port);
    if (!isfinite(scale->factor) || !isfinite(scale->offset) || scale->factor == 0)
        return error_set(loader->error, (Place){0},
                         "`scale %s`: a value cannot be multiplied by %g and moved by %g", p->name,
                         scale->factor, scale->offset);
    for (int64_t e = 0; e < p->elements; e++) {
        p->factor[e] *= scale->factor;
        p->offset[e] = p->offset[e] * scale->factor + scale->offset;
    }
    return true;
}

bool scale_prepare(Loader *loader) {
    for (uint32_t i = 0; i < loader->nports; i++) {
        PortData *p = &loader->data->ports[i];
        p->center = pool_take(&loader->data->pool, p->elements, sizeof *p->center);
        p->factor = pool_take(&loader->data->pool, p->elements, sizeof *p->factor);
        p->offset = pool_take(&loader->data->pool, p->elements, sizeof *p->offset);
        if (!p->center || !p->factor || !p->offset) return error_memory(loader->error, "scaling");
        for (int64_t e = 0; e < p->elements; e++) p->factor[e] = 1;
    }
    for (uint32_t i = 0; i < loader->spec->nscales; i++)
        if (!apply(loader, &loader->spec->scales[i])) return false;
    return true;
}
