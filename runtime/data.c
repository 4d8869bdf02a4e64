/* runtime/data.c: the data of a model: opened, held, asked for.
 *
 * in: a data block, a model's ports, a path, a seed     out: DlrtData
 * The order of the steps matters: rows that miss a value leave before the split, the split gives
 * the training part, and only that gives the statistics for missing values and scaling.
 */
#include "runtime/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int loader_find_port(const Loader *loader, const char *name) {
    for (uint32_t i = 0; name && i < loader->nports; i++)
        if (strcmp(loader->ports[i]->name, name) == 0) return (int)i;
    return -1;
}

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
    int64_t n = block->elements;
    const unsigned char *p = block->values;
    switch (block->type) {
    case NUMBER_U8:
        for (int64_t i = 0; i < n; i++) values[i] = p[row * n + i];
        break;
    case NUMBER_I8:
        for (int64_t i = 0; i < n; i++) values[i] = (int8_t)p[row * n + i];
        break;
    case NUMBER_I16:
        for (int64_t i = 0; i < n; i++)
            values[i] = (int16_t)(uint16_t)big_endian(p + (row * n + i) * 2, 2);
        break;
    case NUMBER_I32:
        for (int64_t i = 0; i < n; i++)
            values[i] = (int32_t)(uint32_t)big_endian(p + (row * n + i) * 4, 4);
        break;
    case NUMBER_F32:
        for (int64_t i = 0; i < n; i++) values[i] = float_of(big_endian(p + (row * n + i) * 4, 4));
        break;
    case NUMBER_F64:
        for (int64_t i = 0; i < n; i++) values[i] = double_of(big_endian(p + (row * n + i) * 8, 8));
        break;
    case NUMBER_NATIVE:
        memcpy(values, (const double *)block->values + row * n, (size_t)n * sizeof *values);
        break;
    }
}

/* ---- storing ----------------------------------------------------------------------------- */

/* The largest float and half its last place more: what is smaller rounds to a float. */
#define FLOAT_LIMIT 3.4028235677973366e38

/* False when a value does not fit the model's type. */
static bool store_row(const PortData *p, uint32_t real_bytes, const double *row, int64_t example) {
    unsigned char *to = p->values + (size_t)example * p->example_bytes;
    bool good = true;
    for (int64_t e = 0; e < p->elements; e++) {
        if (p->classes) {
            ((int32_t *)(void *)to)[e] = (int32_t)row[e];
            continue;
        }
        double value = (row[e] - p->center[e]) * p->factor[e] + p->offset[e];
        bool fits = real_bytes == 8 ? isfinite(value) : fabs(value) < FLOAT_LIMIT;
        good = good && fits;
        if (real_bytes == 8)
            ((double *)(void *)to)[e] = value;
        else
            ((float *)(void *)to)[e] = fits ? (float)value : 0;
    }
    return good;
}

static bool store_port(Loader *loader, uint32_t port) {
    PortData *p = &loader->data->ports[port];
    int64_t first = 0;
    double *row = pool_take(&loader->pool, p->elements, sizeof *row);
    p->values = pool_take(&loader->data->pool, loader->rows, p->example_bytes);
    if (!row || !p->values) return error_memory(loader->error, "the examples");
    for (uint32_t s = 0; s < loader->spec->nsources; s++) {
        const SourceRows *source = &loader->sources[s];
        for (int64_t i = 0; i < source->rows; i++) {
            if (loader->dropped[first + i]) continue;
            block_row(&source->blocks[port], i, row);
            if (store_row(p, loader->data->real_bytes, row, first + i)) continue;
            Place place = {.path = source->blocks[port].path,
                           .line = source->table ? source->table->lines[i] : 0};
            return error_set(loader->error, place,
                             "example %lld has a value of `%s` that is too large for the model's "
                             "%u-bit numbers",
                             (long long)i + 1, p->name, loader->data->real_bytes * 8);
        }
        first += source->rows;
    }
    return true;
}

/* ---- opening ----------------------------------------------------------------------------- */

static bool prepare_ports(Loader *loader) {
    const DlrtModel *model = loader->model;
    DlrtData *data = loader->data;
    loader->nports = data->nports = model->ninputs + model->ntargets;
    data->real_bytes = model->real_bytes;
    loader->ports = pool_take(&loader->pool, loader->nports, sizeof *loader->ports);
    data->ports = pool_take(&data->pool, loader->nports, sizeof *data->ports);
    if (!loader->ports || !data->ports) return error_memory(loader->error, "the data");
    for (uint32_t i = 0; i < loader->nports; i++) {
        const DlrtPort *port =
            i < model->ninputs ? &model->inputs[i] : &model->targets[i - model->ninputs];
        PortData *p = &data->ports[i];
        int64_t bytes = size_product(port->elements, port->classes ? 4 : model->real_bytes);
        loader->ports[i] = port;
        p->name = pool_text(&data->pool, port->name);
        p->elements = port->elements;
        p->classes = port->classes;
        p->example_bytes = (size_t)bytes;
        if (!p->name || bytes < 0) return error_memory(loader->error, "the data");
    }
    return true;
}

static bool read_sources(Loader *loader) {
    uint32_t n = loader->spec->nsources;
    loader->sources = pool_take(&loader->pool, n, sizeof *loader->sources);
    if (!loader->sources) return error_memory(loader->error, "the data");
    if (n == 0)
        return error_set(loader->error, (Place){0}, "data `%s` has no source",
                         loader->spec->name ? loader->spec->name : "");
    for (uint32_t i = 0; i < n; i++) {
        loader->sources[i].spec = &loader->spec->sources[i];
        if (!reader_read(loader, &loader->sources[i])) return false;
        loader->rows += loader->sources[i].rows;
    }
    loader->dropped = pool_take(&loader->pool, loader->rows, sizeof *loader->dropped);
    return loader->dropped || error_memory(loader->error, "the data");
}

static bool open_all(Loader *loader) {
    if (!prepare_ports(loader)) return false;
    if (!read_sources(loader)) return false;
    if (!columns_map(loader)) return false;
    if (!scale_drop_missing(loader)) return false;
    if (!parts_divide(loader)) return false;
    if (!scale_fill_missing(loader)) return false;
    if (!scale_prepare(loader)) return false;
    for (uint32_t i = 0; i < loader->nports; i++)
        if (!store_port(loader, i)) return false;
    return true;
}

DlrtData *dlrt_data_open(const DlrtDataSpec *spec, const DlrtModel *model, const char *path,
                         uint64_t seed, DlrtError *error) {
    DlrtError unused;
    Loader loader = {.spec = spec,
                     .model = model,
                     .path = path,
                     .seed = seed,
                     .error = error ? error : &unused,
                     .data = calloc(1, sizeof *loader.data)};
    *loader.error = (DlrtError){0};
    if (!loader.data) {
        error_memory(loader.error, "the data");
        return NULL;
    }
    bool good = open_all(&loader);
    pool_free(&loader.pool);
    if (good) return loader.data;
    dlrt_data_close(loader.data);
    return NULL;
}

void dlrt_data_close(DlrtData *data) {
    if (!data) return;
    pool_free(&data->pool);
    free(data);
}

/* ---- asking ------------------------------------------------------------------------------ */

int64_t dlrt_data_count(const DlrtData *data, DlrtPart part) {
    return (unsigned)part < DLRT_PARTS ? data->count[part] : 0;
}

const void *dlrt_data_example(const DlrtData *data, DlrtPart part, uint32_t port, int64_t example) {
    const PortData *p = &data->ports[port];
    return p->values + (size_t)data->rows[part][example] * p->example_bytes;
}

const char *dlrt_data_class(const DlrtData *data, uint32_t port, int64_t k) {
    const PortData *p = port < data->nports ? &data->ports[port] : NULL;
    return p && k >= 0 && k < p->ntexts ? p->texts[k] : NULL;
}

double dlrt_data_unscale(const DlrtData *data, uint32_t port, int64_t element, double value) {
    const PortData *p = port < data->nports ? &data->ports[port] : NULL;
    if (!p || p->classes || element < 0 || element >= p->elements) return value;
    return (value - p->offset[element]) / p->factor[element] + p->center[element];
}
