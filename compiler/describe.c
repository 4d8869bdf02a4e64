/* describe.c: a planned model as the outside sees it: ports, parameters, sizes. */
#include "session.h"

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
                                          const Map *offsets, const Map *rounded,
                                          int64_t real_bytes) {
    DlrtTensor *all = ARENA_ARRAY(ctx->arena, DlrtTensor, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const int64_t *offset = map_get(offsets, tensors[i]);
        all[i] = (DlrtTensor){.name = tensors[i]->name,
                              .rank = tensors[i]->rank,
                              .dims = tensors[i]->dims,
                              .elements = tensor_elements(tensors[i], 1),
                              .offset = *offset / real_bytes,
                              .rounded = map_has(rounded, tensors[i])};
    }
    return all;
}

DlrtModel *describe_model(Ctx *ctx, const Planned *planned, const PipelineOptions *options) {
    const Model *model = planned->model;
    const Layout *layout = planned->layout;
    int64_t real_bytes = options->f64 ? 8 : 4;
    DlrtModel *out = ARENA_NEW(ctx->arena, DlrtModel);
    const char **metrics = ARENA_ARRAY(ctx->arena, const char *, model->metrics.len + 1);
    for (uint32_t i = 0; i < model->metrics.len; i++) metrics[i] = model->metrics.at[i].name;
    *out = (DlrtModel){.name = model->name,
                       .real_bytes = (uint32_t)real_bytes,
                       .max_batch = options->sema.max_batch,
                       .workers = options->workers,
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
                                                  &layout->params, &layout->rounded, real_bytes),
                       .states = describe_tensors(ctx, model->states.at, model->states.len,
                                                  &layout->states, &layout->rounded, real_bytes),
                       .params_elements = layout->params_bytes / real_bytes,
                       .state_elements = layout->state_bytes / real_bytes,
                       .metrics = metrics};
    for (uint32_t i = 0; i < planned->nall; i++)
        if (planned->all[i]->arena_bytes > out->arena_bytes)
            out->arena_bytes = planned->all[i]->arena_bytes;
    return out;
}
