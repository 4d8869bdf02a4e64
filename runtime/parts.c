/* runtime/parts.c: which rows are for training, validation and testing.
 *
 * in: the sources' rows, the split of the data block, a seed
 * out: for each part its rows in ascending order; rows that were dropped are in none
 * invariant: every other row is in exactly one part; but windows over a series are in none where
 * that keeps a target value from being in two parts, or twice in validation and test.
 */
#include "runtime/private.h"

#include <math.h>

const char *part_name(DlrtPart part) {
    switch (part) {
    case DLRT_TRAIN: return "train";
    case DLRT_VALID: return "valid";
    case DLRT_TEST: return "test";
    case DLRT_PARTS: break;
    }
    return "";
}

/* Divides n rows by percentages: valid and test are rounded, training takes the rest, and each part
 * that is asked for gets a row at least. */
static bool count_split(const Loader *loader, int64_t n, int64_t *count) {
    const double *percent = loader->spec->percent;
    double sum = percent[DLRT_TRAIN] + percent[DLRT_VALID] + percent[DLRT_TEST];
    int64_t left = n;
    int asked = 0;
    if (!(sum > 0)) { /* no split: everything is for training */
        count[DLRT_TRAIN] = n;
        count[DLRT_VALID] = count[DLRT_TEST] = 0;
        return true;
    }
    for (int p = 0; p < DLRT_PARTS; p++) asked += percent[p] > 0;
    if (n < asked)
        return error_set(loader->error, (Place){0}, "%lld example%s cannot be split into %d parts",
                         (long long)n, n == 1 ? "" : "s", asked);
    for (int p = DLRT_PARTS - 1; p > DLRT_TRAIN; p--) {
        int64_t rows = (int64_t)floor((double)n * percent[p] / sum + 0.5);
        if (percent[p] > 0 && rows < 1) rows = 1;
        asked -= percent[p] > 0;
        if (rows > left - asked) rows = left - asked; /* one for each part that follows */
        count[p] = rows;
        left -= rows;
    }
    count[DLRT_TRAIN] = left;
    if (!(percent[DLRT_TRAIN] > 0)) { /* rounding must not make up a training part */
        count[percent[DLRT_VALID] > 0 ? DLRT_VALID : DLRT_TEST] += left;
        count[DLRT_TRAIN] = 0;
    }
    return true;
}

/* part_of[row] for the rows of `source` statements. */
static bool split_rows(const Loader *loader, Pool *pool, const int64_t *rows, int64_t n,
                       unsigned char *part_of) {
    int64_t count[DLRT_PARTS], next = 0;
    int64_t *order = pool_take(pool, n, sizeof *order);
    if (!order) return error_memory(loader->error, "splitting the data");
    if (!count_split(loader, n, count)) return false;
    /* Epochs count from 1, so 0 is free for the split. */
    dlrt_shuffle(order, n, loader->seed, 0);
    for (int p = 0; p < DLRT_PARTS; p++)
        for (int64_t i = 0; i < count[p]; i++, next++)
            part_of[rows[loader->spec->in_order ? next : order[next]]] = (unsigned char)p;
    return true;
}

static bool collect(Loader *loader, const unsigned char *part_of) {
    DlrtData *data = loader->data;
    for (int64_t row = 0; row < loader->rows; row++)
        if (!loader->dropped[row] && part_of[row] < DLRT_PARTS) data->count[part_of[row]]++;
    for (int p = 0; p < DLRT_PARTS; p++) {
        int64_t next = 0;
        data->rows[p] = pool_take(&data->pool, data->count[p], sizeof *data->rows[p]);
        if (!data->rows[p]) return error_memory(loader->error, "the examples");
        for (int64_t row = 0; row < loader->rows; row++)
            if (!loader->dropped[row] && part_of[row] == p) data->rows[p][next++] = row;
    }
    return true;
}

/* Cross-validation: the rows for training and validation, in `folds` parts of nearly equal size;
 * one of them is for validation. */
static bool divide_folds(Loader *loader, unsigned char *part_of) {
    int64_t n = 0, folds = loader->spec->folds, fold = loader->spec->fold;
    int64_t *rows = pool_take(&loader->pool, loader->rows, sizeof *rows);
    int64_t *order = pool_take(&loader->pool, loader->rows, sizeof *order);
    if (!rows || !order) return error_memory(loader->error, "splitting the data");
    for (int64_t row = 0; row < loader->rows; row++)
        if (!loader->dropped[row] && part_of[row] != DLRT_TEST) rows[n++] = row;
    if (folds < 2 || fold < 0 || fold >= folds || n < folds)
        return error_set(loader->error, (Place){0},
                         "%lld examples cannot be divided into %lld folds", (long long)n,
                         (long long)folds);
    dlrt_shuffle(order, n, loader->seed, 0);
    int64_t begin = n / folds * fold + (fold < n % folds ? fold : n % folds);
    int64_t end = begin + n / folds + (fold < n % folds);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = rows[loader->spec->in_order ? i : order[i]];
        part_of[row] = i >= begin && i < end ? DLRT_VALID : DLRT_TRAIN;
    }
    return true;
}

/* Windows: one beginning in `step` stays, where the part asks for fewer than there are; and none
 * whose target reaches into the part that follows. */
static void choose_windows(const SourceRows *source, unsigned char *part_of, DlrtData *data) {
    const Windows *w = &source->windows;
    if (w->other_step > w->train_step * data->overlap)
        data->overlap = (w->other_step + w->train_step - 1) / w->train_step;
    for (int64_t begin = 0, end; begin < source->rows; begin = end) {
        unsigned char part = part_of[begin];
        for (end = begin + 1; end < source->rows && part_of[end] == part;) end++;
        int64_t step = part == DLRT_TRAIN ? w->train_step : w->other_step;
        int64_t last = end < source->rows ? end - w->reach : end;
        for (int64_t i = begin; i < end; i++)
            if ((i - begin) % step || i >= last) part_of[i] = DLRT_PARTS;
    }
}

bool parts_divide(Loader *loader) {
    unsigned char *part_of = pool_take(&loader->pool, loader->rows, 1);
    int64_t *rows = pool_take(&loader->pool, loader->rows, sizeof *rows);
    int64_t row = 0, n = 0, kept = 0;
    bool whole = loader->spec->whole;
    if (!part_of || !rows) return error_memory(loader->error, "splitting the data");
    for (uint32_t s = 0; s < loader->spec->nsources; s++) {
        const SourceRows *source = &loader->sources[s];
        for (int64_t i = 0; i < source->rows; i++, row++) {
            part_of[row] = (unsigned char)(whole ? DLRT_TEST : source->spec->part);
            kept += !loader->dropped[row];
            loader->data->skipped += loader->dropped[row];
            if (source->spec->is_split && !loader->dropped[row]) rows[n++] = row;
        }
    }
    if (kept == 0)
        return error_set(loader->error, (Place){0},
                         "no examples are left: every row misses a value");
    if (n > 0 && !whole && !split_rows(loader, &loader->pool, rows, n, part_of)) return false;
    if (loader->spec->folds && !divide_folds(loader, part_of)) return false;
    loader->data->overlap = 1;
    for (uint32_t s = 0; s < loader->spec->nsources; s++)
        if (loader->sources[s].windows.train_step)
            choose_windows(&loader->sources[s], part_of + loader->data->first_row[s], loader->data);
    return collect(loader, part_of);
}
