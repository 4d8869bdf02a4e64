/* advance.c: a model of sequences compiled for one element at a time. */
#include "session.h"

const DlcAdvance *dlc_advance(Dlc *dlc, const DlcOptions *options) {
    Ctx *ctx = &dlc->ctx;
    PipelineOptions pipeline;
    if (!session_options(dlc, options, &pipeline)) return NULL;
    Model *model = pipeline_expand(ctx, dlc->program, options->model, &pipeline);
    if (!model || model->inputs.len != 1 || !pipeline_normalize(ctx, model->infer)) return NULL;
    Module *start;
    Tensor *input;
    Tensors states = {0}; /* the model's own, as its own layout has them, and what it remembers */
    for (uint32_t i = 0; i < model->states.len; i++)
        vec_push(ctx->arena, &states, model->states.at[i]);
    Module *m = ir_advance(ctx, model->infer, model->inputs.at[0], &start, &input, &states);
    if (!m || !pipeline_normalize(ctx, m) || !pipeline_normalize(ctx, start)) return NULL;
    const Layout *layout = plan_layout(ctx, model->params.at, model->params.len, states.at,
                                       states.len, options->f64 ? 8 : 4, NULL);
    PlanOptions plan = pipeline_plan_options(&pipeline);
    ctx_enter(ctx, "plan");
    Function *functions[] = {plan_function(ctx, start, "start", NULL, 0, layout, &plan),
                             plan_function(ctx, m, "advance", &input, 1, layout, &plan)};
    if (!functions[0] || !functions[1] || diag_failed(ctx)) return NULL;
    Jit *jit = session_jit(dlc, model->name, functions, 2, &pipeline);
    if (!jit) return NULL;
    DlcAdvance *out = ARENA_NEW(ctx->arena, DlcAdvance);
    out->start = session_find(dlc, jit, model->name, "start");
    out->advance = session_find(dlc, jit, model->name, "advance");
    out->state_bytes = layout->state_bytes;
    out->arena_bytes = functions[0]->arena_bytes > functions[1]->arena_bytes
                           ? functions[0]->arena_bytes
                           : functions[1]->arena_bytes;
    return diag_failed(ctx) ? NULL : out;
}
