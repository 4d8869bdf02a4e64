/* runtime/store.c: examples as the model wants them.
 *
 * in: blocks of numbers as they were read, scaling     out: examples in the model's type
 * What is small as it was read (bytes, windows that overlap) stays so and is converted when it is
 * asked for; everything else is converted once.
 * invariant: whatever is fetched was checked here to fit the model's type.
 */
#include "runtime/private.h"

#include <math.h>
#include <string.h>

/* ---- values ------------------------------------------------------------------------------ */

static uint64_t big_endian(const unsigned char *p, int bytes) {
    uint64_t bits = 0;
    for (int i = 0; i < bytes; i++) bits = bits << 8 | p[i];
    return bits;
}

static double float_of(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof value);
    return value;
}

static double double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void block_row(const Block *block, int64_t row, double *values) {
    int64_t n = block->elements, at = row * block->step;
    const unsigned char *p = block->values;
    switch (block->type) {
    case NUMBER_U8:
        for (int64_t i = 0; i < n; i++) values[i] = p[at + i];
        break;
    case NUMBER_I8:
        for (int64_t i = 0; i < n; i++) values[i] = (int8_t)p[at + i];
        break;
    case NUMBER_I16:
        for (int64_t i = 0; i < n; i++)
            values[i] = (int16_t)(uint16_t)big_endian(p + (at + i) * 2, 2);
        break;
    case NUMBER_I32:
        for (int64_t i = 0; i < n; i++)
            values[i] = (int32_t)(uint32_t)big_endian(p + (at + i) * 4, 4);
        break;
    case NUMBER_F32:
        for (int64_t i = 0; i < n; i++) values[i] = float_of(big_endian(p + (at + i) * 4, 4));
        break;
    case NUMBER_F64:
        for (int64_t i = 0; i < n; i++) values[i] = double_of(big_endian(p + (at + i) * 8, 8));
        break;
    case NUMBER_NATIVE:
        memcpy(values, (const double *)block->values + at, (size_t)n * sizeof *values);
        break;
    }
}

/* ---- storing ----------------------------------------------------------------------------- */

/* The largest float and half its last place more: what is smaller rounds to a float. */
#define FLOAT_LIMIT 3.4028235677973366e38

static bool fits(double value, uint32_t real_bytes) {
    return real_bytes == 8 ? isfinite(value) : fabs(value) < FLOAT_LIMIT;
}

/* The usual case, in a loop without branches; false when one of them does not fit. */
static bool store_floats(const PortData *p, const double *row, float *to) {
    bool good = true;
    for (int64_t e = 0; e < p->elements; e++) {
        double value = (row[e] - p->center[e]) * p->factor[e] + p->offset[e];
        good &= fabs(value) < FLOAT_LIMIT;
        to[e] = (float)value;
    }
    return good;
}

/* False when a value does not fit the model's type. */
static bool store_row(const PortData *p, uint32_t real_bytes, const double *row, void *to) {
    if (!p->classes && real_bytes == 4 && store_floats(p, row, to)) return true;
    bool good = true;
    for (int64_t e = 0; e < p->elements; e++) {
        if (p->classes) {
            ((int32_t *)to)[e] = isnan(row[e]) ? -1 : (int32_t)row[e];
            continue;
        }
        double value = (row[e] - p->center[e]) * p->factor[e] + p->offset[e];
        bool in_range = fits(value, real_bytes) || (p->may_lack && isnan(value));
        good = good && in_range;
        if (real_bytes == 8)
            ((double *)to)[e] = value;
        else
            ((float *)to)[e] = in_range ? (float)value : 0;
    }
    return good;
}

static bool stays_raw(const Block *block) {
    return block->type == NUMBER_U8 || block->step < block->elements;
}

static bool fail_size(const Loader *loader, uint32_t port, const SourceRows *source, int64_t row) {
    Place place = {.path = source->blocks[port].path,
                   .line = source->table ? source->table->lines[row] : 0};
    return error_set(loader->error, place,
                     "example %lld has a value of `%s` that is too large for the model's "
                     "%u-bit numbers",
                     (long long)row + 1, loader->ports[port]->name, loader->data->real_bytes * 8);
}

static bool store_source(Loader *loader, uint32_t port, uint32_t s) {
    DlrtData *data = loader->data;
    PortData *p = &data->ports[port];
    const SourceRows *source = &loader->sources[s];
    const Block *block = &source->blocks[port];
    Segment *segment = &p->segments[s];
    segment->raw = *block;
    segment->raw.path = NULL; /* it ends with the loader */
    if (!stays_raw(block)) {
        segment->ready = pool_take(&data->pool, source->rows, p->example_bytes);
        if (!segment->ready) return error_memory(loader->error, "the examples");
        segment->raw.values = NULL;
    } else if (p->classes) {
        return true; /* the reader checked that they are in range */
    }
    for (int64_t i = 0; i < source->rows; i++) {
        if (loader->dropped[data->first_row[s] + i]) continue;
        void *to = segment->ready ? segment->ready + (size_t)i * p->example_bytes : p->shown;
        block_row(block, i, data->row);
        if (!store_row(p, data->real_bytes, data->row, to))
            return fail_size(loader, port, source, i);
    }
    return true;
}

bool store_port(Loader *loader, uint32_t port) {
    DlrtData *data = loader->data;
    PortData *p = &data->ports[port];
    p->segments = pool_take(&data->pool, data->nsources, sizeof *p->segments);
    p->shown = pool_take(&data->pool, 1, p->example_bytes);
    if (!p->segments || !p->shown) return error_memory(loader->error, "the examples");
    for (uint32_t s = 0; s < data->nsources; s++)
        if (!store_source(loader, port, s)) return false;
    return true;
}

/* ---- fetching ---------------------------------------------------------------------------- */

static void fetch_bytes(const PortData *p, uint32_t real_bytes, const unsigned char *from,
                        void *to) {
    const double *center = p->center, *factor = p->factor, *offset = p->offset;
    int64_t n = p->elements;
    if (p->classes) {
        int32_t *out = to;
        for (int64_t e = 0; e < n; e++) out[e] = from[e];
    } else if (real_bytes == 8) {
        double *out = to;
        for (int64_t e = 0; e < n; e++) out[e] = (from[e] - center[e]) * factor[e] + offset[e];
    } else {
        float *out = to;
        for (int64_t e = 0; e < n; e++)
            out[e] = (float)((from[e] - center[e]) * factor[e] + offset[e]);
    }
}

void store_fetch(const DlrtData *data, uint32_t port, int64_t row, void *to) {
    const PortData *p = &data->ports[port];
    uint32_t s = 0;
    while (row >= data->first_row[s + 1]) s++;
    row -= data->first_row[s];
    const Segment *segment = &p->segments[s];
    if (segment->ready) {
        memcpy(to, segment->ready + (size_t)row * p->example_bytes, p->example_bytes);
    } else if (segment->raw.type == NUMBER_U8) {
        const unsigned char *values = segment->raw.values;
        fetch_bytes(p, data->real_bytes, values + row * segment->raw.step, to);
    } else {
        block_row(&segment->raw, row, data->row);
        store_row(p, data->real_bytes, data->row, to);
    }
}
