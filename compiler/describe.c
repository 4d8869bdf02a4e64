/* describe.c: a planned model as the outside sees it: ports, parameters, sizes; and its summary. */
#include "session.h"

#include <string.h>

/* The dimensions of one example. */
static uint32_t example_dims(const Tensor *tensor, const int64_t **dims) {
    bool batched = tensor->rank > 0 && tensor->dims[0] == EXTENT_BATCH;
    *dims = tensor->dims + batched;
    return tensor->rank - batched;
}

const char *describe_shape(Ctx *ctx, const Tensor *tensor) {
    const int64_t *dims;
    uint32_t rank = example_dims(tensor, &dims);
    Text text = text_new(ctx->arena);
    text_put(&text, "[");
    for (uint32_t d = 0; d < rank; d++)
        text_printf(&text, d ? ", %lld" : "%lld", (long long)dims[d]);
    text_put(&text, "]");
    return text_string(&text);
}

static DlrtPort describe_port(const Tensor *tensor, const char *name) {
    DlrtPort port = {.name = name, .classes = tensor->classes};
    port.rank = example_dims(tensor, &port.dims);
    port.batched = port.rank < tensor->rank;
    port.elements = 1;
    for (uint32_t d = 0; d < port.rank; d++) port.elements *= port.dims[d];
    return port;
}

static const DlrtPort *describe_ports(Ctx *ctx, Tensor *const *tensors, uint32_t n) {
    DlrtPort *ports = ARENA_ARRAY(ctx->arena, DlrtPort, n + 1);
    for (uint32_t i = 0; i < n; i++) ports[i] = describe_port(tensors[i], tensors[i]->name);
    return ports;
}

static const DlrtPort *describe_outputs(Ctx *ctx, const Module *m) {
    DlrtPort *ports = ARENA_ARRAY(ctx->arena, DlrtPort, m->roots.len + 1);
    for (uint32_t i = 0; i < m->roots.len; i++)
        ports[i] = describe_port(m->roots.at[i].tensor, m->roots.at[i].name);
    return ports;
}

static const DlrtTensor *describe_tensors(Ctx *ctx, Tensor *const *tensors, uint32_t n,
                                          const Map *offsets, int64_t real_bytes) {
    DlrtTensor *all = ARENA_ARRAY(ctx->arena, DlrtTensor, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const int64_t *offset = map_get(offsets, tensors[i]);
        all[i] = (DlrtTensor){.name = tensors[i]->name,
                              .rank = tensors[i]->rank,
                              .dims = tensors[i]->dims,
                              .elements = tensor_elements(tensors[i], 1),
                              .offset = *offset / real_bytes};
    }
    return all;
}

DlrtModel *describe_model(Ctx *ctx, const Planned *planned, bool f64, int64_t max_batch) {
    const Model *model = planned->model;
    const Layout *layout = planned->layout;
    int64_t real_bytes = f64 ? 8 : 4;
    DlrtModel *out = ARENA_NEW(ctx->arena, DlrtModel);
    const char **metrics = ARENA_ARRAY(ctx->arena, const char *, model->metrics.len + 1);
    for (uint32_t i = 0; i < model->metrics.len; i++) metrics[i] = model->metrics.at[i].name;
    *out = (DlrtModel){.name = model->name,
                       .real_bytes = (uint32_t)real_bytes,
                       .max_batch = max_batch,
                       .ninputs = model->inputs.len,
                       .ntargets = model->targets.len,
                       .noutputs = model->infer->roots.len,
                       .nparams = model->params.len,
                       .nstates = model->states.len,
                       .nstats = model->nstats,
                       .nmetrics = model->metrics.len,
                       .inputs = describe_ports(ctx, model->inputs.at, model->inputs.len),
                       .targets = describe_ports(ctx, model->targets.at, model->targets.len),
                       .outputs = describe_outputs(ctx, model->infer),
                       .params = describe_tensors(ctx, model->params.at, model->params.len,
                                                  &layout->params, real_bytes),
                       .states = describe_tensors(ctx, model->states.at, model->states.len,
                                                  &layout->states, real_bytes),
                       .params_elements = layout->params_bytes / real_bytes,
                       .state_elements = layout->state_bytes / real_bytes,
                       .metrics = metrics};
    for (uint32_t i = 0; i < planned->nall; i++)
        if (planned->all[i]->arena_bytes > out->arena_bytes)
            out->arena_bytes = planned->all[i]->arena_bytes;
    return out;
}

/* ---- summary ------------------------------------------------------------------------------ */

typedef struct Rows {
    Vec(DlcSummaryRow) rows;
    Map by_name; /* Sym → row number + 1 */
} Rows;

/* The layer a tensor belongs to: its name up to the last dot; its own name when it has none. */
static Sym layer_of(Ctx *ctx, const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? sym_n(ctx, name, (size_t)(dot - name)) : sym(ctx, name);
}

static DlcSummaryRow *find_row(Rows *rows, Sym name) {
    uintptr_t number = (uintptr_t)map_get(&rows->by_name, name);
    return number ? &rows->rows.at[number - 1] : NULL;
}

static DlcSummaryRow *row_of(Ctx *ctx, Rows *rows, Sym name) {
    DlcSummaryRow *row = find_row(rows, name);
    if (row) return row;
    DlcSummaryRow fresh = {.name = name, .shape = ""};
    vec_push(ctx->arena, &rows->rows, fresh);
    map_set(ctx->arena, &rows->by_name, name, (void *)(uintptr_t)rows->rows.len);
    return &rows->rows.at[rows->rows.len - 1];
}

/* The row of a kernel: of the layer that the longest prefix of its name is. */
static DlcSummaryRow *row_of_kernel(Ctx *ctx, Rows *rows, const char *name) {
    for (Sym prefix = sym(ctx, name);;) {
        DlcSummaryRow *row = find_row(rows, prefix);
        Sym shorter = layer_of(ctx, prefix);
        if (row || shorter == prefix) return row ? row : row_of(ctx, rows, layer_of(ctx, name));
        prefix = shorter;
    }
}

/* For n examples. */
static double kernel_flops(const Kernel *k, int64_t n) {
    double flops = k->flops + k->example_flops * (double)n;
    for (uint32_t i = 0; i < k->nsteps; i++) flops += kernel_flops(k->steps[i], n);
    return flops;
}

static double function_flops(const Function *f, int64_t n) {
    double flops = 0;
    for (uint32_t i = 0; f && i < f->kernels.len; i++) flops += kernel_flops(f->kernels.at[i], n);
    return flops;
}

const DlcSummary *describe_summary(Ctx *ctx, const Planned *planned, int64_t batch) {
    const Model *model = planned->model;
    DlcSummary *out = ARENA_NEW(ctx->arena, DlcSummary);
    Rows rows = {0};
    for (uint32_t i = 0; i < model->params.len; i++) {
        int64_t elements = tensor_elements(model->params.at[i], 1);
        row_of(ctx, &rows, layer_of(ctx, model->params.at[i]->name))->parameters += elements;
        out->parameters += elements;
    }
    Rows ordered = {0}; /* in the order of computation */
    const Module *m = model->infer;
    for (uint32_t i = 0; i < m->equations.len; i++) {
        const Tensor *result = m->equations.at[i]->result;
        Sym name = layer_of(ctx, result->name);
        DlcSummaryRow *params = find_row(&rows, name);
        DlcSummaryRow *row = row_of(ctx, &ordered, name);
        row->shape = describe_shape(ctx, result);
        row->parameters = params ? params->parameters : 0;
    }
    const Function *forward = planned->forward;
    for (uint32_t i = 0; i < forward->kernels.len; i++)
        row_of_kernel(ctx, &ordered, forward->kernels.at[i]->name)->flops +=
            kernel_flops(forward->kernels.at[i], 1);
    for (uint32_t i = 0; i < rows.rows.len; i++)
        if (!find_row(&ordered, rows.rows.at[i].name))
            row_of(ctx, &ordered, rows.rows.at[i].name)->parameters = rows.rows.at[i].parameters;
    out->model = model->name;
    out->batch = batch;
    out->forward_flops = function_flops(forward, 1);
    out->flops = function_flops(planned->step, batch);
    out->params_bytes = planned->layout->params_bytes;
    out->state_bytes = planned->layout->state_bytes;
    out->arena_bytes = planned->step ? planned->step->arena_bytes : 0;
    out->inference_arena_bytes = forward->arena_bytes;
    out->rows = ordered.rows.at;
    out->nrows = ordered.rows.len;
    return out;
}
