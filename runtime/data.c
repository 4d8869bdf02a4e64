/* runtime/data.c: the data of a model: opened, held, asked for.
 *
 * in: a data block, a model's ports, a path, a seed     out: DlrtData
 * The order of the steps matters: rows that miss a value leave before the split, the split gives
 * the training part, and only that gives the statistics for missing values and scaling.
 */
#include "runtime/private.h"

#include <stdlib.h>
#include <string.h>

int loader_find_port(const Loader *loader, const char *name) {
    for (uint32_t i = 0; name && i < loader->nports; i++)
        if (strcmp(loader->ports[i]->name, name) == 0) return (int)i;
    return -1;
}

bool loader_may_lack(const Loader *loader, uint32_t port) {
    return loader->spec->unlabelled && port >= loader->model->ninputs;
}

/* ---- opening ----------------------------------------------------------------------------- */

static bool prepare_ports(Loader *loader) {
    int64_t most = 0;
    const DlrtModel *model = loader->model;
    DlrtData *data = loader->data;
    loader->nports = data->nports = model->ninputs + model->ntargets;
    data->nsources = loader->spec->nsources;
    data->real_bytes = model->real_bytes;
    loader->ports = pool_take(&loader->pool, loader->nports, sizeof *loader->ports);
    data->ports = pool_take(&data->pool, loader->nports, sizeof *data->ports);
    data->first_row = pool_take(&data->pool, (int64_t)data->nsources + 1, sizeof(int64_t));
    if (!loader->ports || !data->ports || !data->first_row)
        return error_memory(loader->error, "the data");
    for (uint32_t i = 0; i < loader->nports; i++) {
        const DlrtPort *port =
            i < model->ninputs ? &model->inputs[i] : &model->targets[i - model->ninputs];
        PortData *p = &data->ports[i];
        int64_t bytes = size_product(port->elements, port->classes ? 4 : model->real_bytes);
        loader->ports[i] = port;
        p->name = pool_text(&data->pool, port->name);
        p->elements = port->elements;
        p->classes = port->classes;
        p->may_lack = loader_may_lack(loader, i);
        p->example_bytes = (size_t)bytes;
        if (!p->name || bytes < 0) return error_memory(loader->error, "the data");
        if (port->elements > most) most = port->elements;
    }
    data->row = pool_take(&data->pool, most, sizeof *data->row);
    return data->row || error_memory(loader->error, "the data");
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
        loader->data->first_row[i + 1] = loader->rows;
    }
    loader->dropped = pool_take(&loader->pool, loader->rows, sizeof *loader->dropped);
    return loader->dropped || error_memory(loader->error, "the data");
}

static bool open_all(Loader *loader) {
    if (!prepare_ports(loader)) return false;
    if (!read_sources(loader)) return false;
    if (!columns_map(loader) || !characters_map(loader) || !images_map(loader)) return false;
    if (!scale_drop_missing(loader)) return false;
    if (!parts_divide(loader)) return false;
    if (!scale_fill_missing(loader)) return false;
    if (!scale_prepare(loader)) return false;
    for (uint32_t i = 0; i < loader->nports; i++)
        if (!store_port(loader, i)) return false;
    return true;
}

static DlrtData *open_known(const DlrtDataSpec *spec, const DlrtModel *model, const Notes *known,
                            const char *path, uint64_t seed, DlrtError *error) {
    DlrtError unused;
    Loader loader = {.spec = spec,
                     .model = model,
                     .path = path,
                     .known = known,
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

DlrtData *dlrt_data_open(const DlrtDataSpec *spec, const DlrtModel *model, const char *path,
                         uint64_t seed, DlrtError *error) {
    return open_known(spec, model, NULL, path, seed, error);
}

DlrtData *dlrt_data_open_for(const DlrtSession *session, const DlrtDataSpec *spec, const char *path,
                             uint64_t seed, DlrtError *error) {
    return open_known(spec, session->model, &session->notes, path, seed, error);
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

int64_t dlrt_data_skipped(const DlrtData *data) {
    return data->skipped;
}

const void *dlrt_data_example(const DlrtData *data, DlrtPart part, uint32_t port, int64_t example) {
    void *shown = data->ports[port].shown;
    store_fetch(data, port, data->rows[part][example], shown);
    return shown;
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
