/* gradients.c: the three functions of a gradient check.
 *
 * Loss, reverse mode and forward mode are compiled from three expansions of the same model, in
 * double precision. The expansions have the same parameters in the same order, so one layout serves
 * all.
 */
#include "session.h"

typedef struct Check {
    Dlc *dlc;
    const DlcOptions *options;
    PipelineOptions pipeline;
} Check;

/* What is checked: parameters, then the inputs that are real numbers. */
static Tensor **checked_tensors(Ctx *ctx, const Model *model, uint32_t *count) {
    Tensor **all = ARENA_ARRAY(ctx->arena, Tensor *, model->params.len + model->inputs.len + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < model->params.len; i++) all[n++] = model->params.at[i];
    for (uint32_t i = 0; i < model->inputs.len; i++)
        if (!model->inputs.at[i]->classes) all[n++] = model->inputs.at[i];
    *count = n;
    return all;
}

/* A fresh expansion whose training module holds the loss alone. */
static Model *expand_loss(Check *c) {
    Ctx *ctx = &c->dlc->ctx;
    Model *model = pipeline_expand(ctx, c->dlc->program, c->options->model, &c->pipeline);
    if (!model) return NULL;
    if (!model->train || !model->train->loss) {
        diag_error(ctx, model->span, "model `%s` has no loss, so it has no gradients to check",
                   model->name);
        return NULL;
    }
    Module *m = model->train;
    m->updates.len = 0;
    m->gradients = (Map){0};
    m->roots.len = 0;
    Root loss = {sym(ctx, "loss"), m->loss};
    vec_push(ctx->arena, &m->roots, loss);
    return pipeline_normalize(ctx, m) ? model : NULL;
}

static Function *plan_check(Check *c, Model *model, const char *name, Tensor *const *extra,
                            uint32_t nextra) {
    Ctx *ctx = &c->dlc->ctx;
    if (!pipeline_normalize(ctx, model->train)) return NULL;
    uint32_t nports;
    Tensor **ports = pipeline_ports(ctx, model, &nports);
    Tensor **all = ARENA_ARRAY(ctx->arena, Tensor *, nports + nextra + 1);
    for (uint32_t i = 0; i < nports; i++) all[i] = ports[i];
    for (uint32_t i = 0; i < nextra; i++) all[nports + i] = extra[i];
    const Layout *layout = plan_layout(ctx, model->params.at, model->params.len, model->states.at,
                                       model->states.len, 8, NULL);
    PlanOptions plan = pipeline_plan_options(&c->pipeline);
    ctx_enter(ctx, "plan");
    Function *f = plan_function(ctx, model->train, name, all, nports + nextra, layout, &plan);
    if (f && ctx->verify) plan_verify(ctx, f);
    return diag_failed(ctx) ? NULL : f;
}

static Function *plan_gradient(Check *c) {
    Ctx *ctx = &c->dlc->ctx;
    Model *model = expand_loss(c);
    if (!model) return NULL;
    uint32_t n;
    Tensor **checked = checked_tensors(ctx, model, &n);
    diff_reverse(ctx, model->train, checked, n);
    for (uint32_t i = 0; i < n; i++) {
        Tensor *gradient = map_get(&model->train->gradients, checked[i]);
        Root root = {gradient->name, gradient};
        vec_push(ctx->arena, &model->train->roots, root);
    }
    return plan_check(c, model, "gradient", NULL, 0);
}

static Function *plan_tangent(Check *c) {
    Ctx *ctx = &c->dlc->ctx;
    Model *model = expand_loss(c);
    if (!model) return NULL;
    Module *m = model->train;
    uint32_t n;
    Tensor **checked = checked_tensors(ctx, model, &n);
    Tensor **tangents = ARENA_ARRAY(ctx->arena, Tensor *, n + 1);
    for (uint32_t i = 0; i < n; i++)
        tangents[i] = ir_tensor(ctx, m, TENSOR_INPUT, sym_printf(ctx, "dot.%s", checked[i]->name),
                                checked[i]->rank, checked[i]->dims, 0, checked[i]->span);
    Tensor *dot = diff_forward(ctx, m, checked, tangents, n);
    Root root = {dot->name, dot};
    m->roots.len = 0;
    vec_push(ctx->arena, &m->roots, root);
    return plan_check(c, model, "tangent", tangents, n);
}

static void describe_checked(Ctx *ctx, DlcGradients *out, const Planned *planned, int64_t batch) {
    const Model *model = planned->model;
    Tensor **checked = checked_tensors(ctx, model, &out->nchecked);
    const char **names = ARENA_ARRAY(ctx->arena, const char *, out->nchecked + 1);
    int64_t *elements = ARENA_ARRAY(ctx->arena, int64_t, out->nchecked + 1);
    int64_t *offsets = ARENA_ARRAY(ctx->arena, int64_t, out->nchecked + 1);
    int32_t *inputs = ARENA_ARRAY(ctx->arena, int32_t, out->nchecked + 1);
    for (uint32_t i = 0; i < out->nchecked; i++) {
        names[i] = checked[i]->name;
        elements[i] = tensor_elements(checked[i], batch);
        const int64_t *offset = map_get(&planned->layout->params, checked[i]);
        offsets[i] = offset ? *offset / 8 : 0;
        inputs[i] = -1;
        for (uint32_t k = 0; k < model->inputs.len; k++)
            if (model->inputs.at[k] == checked[i]) inputs[i] = (int32_t)k;
    }
    out->names = names;
    out->elements = elements;
    out->offsets = offsets;
    out->inputs = inputs;
}

/* init alone: a gradient check needs parameters, and no training step. */
static Planned *plan_init(Check *c) {
    Ctx *ctx = &c->dlc->ctx;
    Model *model = pipeline_expand(ctx, c->dlc->program, c->options->model, &c->pipeline);
    if (!model) return NULL;
    PipelineOptions options = c->pipeline;
    options.inference = true;
    return pipeline_plan(ctx, model, &options);
}

const DlcGradients *gradients_compile(Dlc *dlc, const DlcOptions *options) {
    Ctx *ctx = &dlc->ctx;
    DlcOptions f64 = *options;
    f64.f64 = true;
    Check check = {.dlc = dlc, .options = &f64};
    if (!session_options(dlc, &f64, &check.pipeline)) return NULL;
    Planned *planned = plan_init(&check);
    if (!planned) return NULL;
    Model *plain = expand_loss(&check);
    Function *loss = plain ? plan_check(&check, plain, "loss", NULL, 0) : NULL;
    Function *gradient = loss ? plan_gradient(&check) : NULL;
    Function *tangent = gradient ? plan_tangent(&check) : NULL;
    if (!tangent) return NULL;

    const char *name = planned->model->name;
    Function *functions[] = {planned->init, planned->forward, loss, gradient, tangent};
    Jit *jit = session_jit(dlc, name, functions, 5, &check.pipeline);
    if (!jit) return NULL;
    DlrtModel *model = describe_model(ctx, planned, &check.pipeline);
    model->init = session_find(dlc, jit, name, "init");
    model->forward = session_find(dlc, jit, name, "forward");
    DlcGradients *out = ARENA_NEW(ctx->arena, DlcGradients);
    describe_checked(ctx, out, planned, check.pipeline.sema.max_batch);
    out->loss = session_find(dlc, jit, name, "loss");
    out->gradient = session_find(dlc, jit, name, "gradient");
    out->tangent = session_find(dlc, jit, name, "tangent");
    for (int i = 0; i < 5; i++)
        if (functions[i]->arena_bytes > out->arena_bytes)
            out->arena_bytes = functions[i]->arena_bytes;
    if (out->arena_bytes > model->arena_bytes) model->arena_bytes = out->arena_bytes;
    out->model = model;
    return diag_failed(ctx) ? NULL : out;
}
