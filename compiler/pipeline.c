/* pipeline.c: the stages, one after the other.
 *
 * Each function runs one stage for a model on what the stage before left; a verifier runs behind
 * each when the Ctx asks for it. Every function returns NULL or false after a message.
 */
#include "pipeline.h"

Model *pipeline_expand(Ctx *ctx, Program *program, const char *name,
                       const PipelineOptions *options) {
    ctx_enter(ctx, "sema");
    Model *model = sema_model(ctx, program, name, &options->sema);
    if (!model || diag_failed(ctx)) return NULL;
    Module *modules[] = {model->init, model->train, model->infer, model->evaluate, model->finish};
    for (size_t i = 0; ctx->verify && i < sizeof modules / sizeof *modules; i++)
        if (modules[i]) ir_verify(ctx, modules[i], false);
    return model;
}

static bool normalize(Ctx *ctx, Module *m) {
    ctx_enter(ctx, "ir");
    ir_normalize(ctx, m);
    if (diag_failed(ctx)) return false;
    if (ctx->verify) ir_verify(ctx, m, true);
    return true;
}

/* Derivatives that expressions ask for are made first: what is differentiated afterwards may
 * depend on them. */
bool pipeline_normalize(Ctx *ctx, Module *m) {
    while (m->derivatives.len) {
        if (!normalize(ctx, m)) return false;
        Derivative first = m->derivatives.at[0];
        diff_derivative(ctx, m, &first);
        m->derivatives.len--;
        for (uint32_t i = 0; i < m->derivatives.len; i++)
            m->derivatives.at[i] = m->derivatives.at[i + 1];
    }
    return normalize(ctx, m);
}

bool pipeline_differentiate(Ctx *ctx, Model *model) {
    Module *m = model->train;
    if (!m || !m->loss) return true;
    if (!pipeline_normalize(ctx, m)) return false;
    ctx_enter(ctx, "diff");
    diff_reverse(ctx, m, model->params.at, model->params.len);
    if (diag_failed(ctx)) return false;
    return pipeline_normalize(ctx, m);
}

PlanOptions pipeline_plan_options(const PipelineOptions *options) {
    const Machine *machine = options->machine;
    return (PlanOptions){.f64 = options->f64,
                         .bf16 = options->bf16,
                         .pairs = machine->has_bf16,
                         .winograd = options->winograd,
                         .vector_bytes = machine->vector_bytes,
                         .l1_bytes = machine->l1_bytes,
                         .l2_bytes = machine->l2_bytes,
                         .workers = options->workers};
}

Tensor **pipeline_ports(Ctx *ctx, const Model *model, uint32_t *count) {
    *count = model->inputs.len + model->targets.len;
    Tensor **ports = ARENA_ARRAY(ctx->arena, Tensor *, *count + 1);
    for (uint32_t i = 0; i < model->inputs.len; i++) ports[i] = model->inputs.at[i];
    for (uint32_t i = 0; i < model->targets.len; i++)
        ports[model->inputs.len + i] = model->targets.at[i];
    return ports;
}

static bool plan_one(Ctx *ctx, Planned *planned, Function **slot, Module *m, const char *name,
                     Tensor *const *ports, uint32_t nports, const PlanOptions *options) {
    ctx_enter(ctx, "plan");
    Function *f = plan_function(ctx, m, name, ports, nports, planned->layout, options);
    if (!f || diag_failed(ctx)) return false;
    if (ctx->verify) plan_verify(ctx, f);
    *slot = planned->all[planned->nall++] = f;
    return true;
}

/* The metrics from their statistics: tiny, and always in double precision. */
static bool plan_finish(Ctx *ctx, Planned *planned, const PlanOptions *options) {
    Module *m = planned->model->finish;
    PlanOptions f64 = *options;
    f64.f64 = true;
    f64.bf16 = false;
    Tensor *stats = NULL;
    for (uint32_t i = 0; i < m->tensors.len; i++)
        if (m->tensors.at[i]->kind == TENSOR_INPUT) stats = m->tensors.at[i];
    if (!pipeline_normalize(ctx, m)) return false;
    return plan_one(ctx, planned, &planned->finish, m, "finish", &stats, stats ? 1 : 0, &f64);
}

/* What only a training step reads, such as the moments of an optimizer, is no state of a model that
 * is not trained. */
static void keep_states_read(Ctx *ctx, Model *model) {
    Map read = {0};
    const Module *m = model->infer;
    for (uint32_t i = 0; i < m->equations.len; i++) {
        const Reads *reads = ir_reads(ctx, m->equations.at[i]->body);
        for (uint32_t k = 0; k < reads->len; k++)
            map_set(ctx->arena, &read, reads->at[k]->read.tensor, ctx);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < model->states.len; i++)
        if (map_has(&read, model->states.at[i])) model->states.at[kept++] = model->states.at[i];
    model->states.len = kept;
    Module *init = model->init;
    kept = 0;
    for (uint32_t i = 0; i < init->updates.len; i++) {
        const Tensor *target = init->updates.at[i].target;
        if (target->kind != TENSOR_STATE || map_has(&read, target))
            init->updates.at[kept++] = init->updates.at[i];
    }
    init->updates.len = kept;
}

Planned *pipeline_plan(Ctx *ctx, Model *model, const PipelineOptions *options) {
    Planned *planned = ARENA_NEW(ctx->arena, Planned);
    PlanOptions plan = pipeline_plan_options(options), exact = plan;
    exact.bf16 = false; /* the weights to begin with are the same */
    planned->model = model;
    Map rounded = {0};
    if (options->inference) {
        if (!pipeline_normalize(ctx, model->infer)) return NULL;
        keep_states_read(ctx, model);
        if (options->bf16) rounded = plan_rounded_params(ctx, model->infer);
    }
    planned->layout = plan_layout(ctx, model->params.at, model->params.len, model->states.at,
                                  model->states.len, options->f64 ? 8 : 4, &rounded);
    uint32_t nports;
    Tensor **ports = pipeline_ports(ctx, model, &nports);
    bool trains =
        model->train && model->train->loss && model->train->updates.len > 0 && !options->inference;

    if (!pipeline_normalize(ctx, model->init)) return NULL;
    if (!plan_one(ctx, planned, &planned->init, model->init, "init", NULL, 0, &exact)) return NULL;
    if (trains && !pipeline_differentiate(ctx, model)) return NULL;
    if (trains &&
        !plan_one(ctx, planned, &planned->step, model->train, "step", ports, nports, &plan))
        return NULL;
    if (!pipeline_normalize(ctx, model->infer)) return NULL;
    if (!plan_one(ctx, planned, &planned->forward, model->infer, "forward", ports, nports, &plan))
        return NULL;
    if (options->inference) return planned;
    if (model->evaluate) {
        if (!pipeline_normalize(ctx, model->evaluate)) return NULL;
        if (!plan_one(ctx, planned, &planned->evaluate, model->evaluate, "evaluate", ports, nports,
                      &plan))
            return NULL;
    }
    if (model->finish && !plan_finish(ctx, planned, &plan)) return NULL;
    return planned;
}

LLVMModuleRef pipeline_codegen(Ctx *ctx, LLVMContextRef llvm, const char *name,
                               Function *const *functions, uint32_t nfunctions,
                               const PipelineOptions *options) {
    ctx_enter(ctx, "codegen");
    LLVMModuleRef module = codegen_module(ctx, llvm, name, functions, nfunctions, options->machine);
    return diag_failed(ctx) ? NULL : module;
}

LLVMModuleRef pipeline_generate(Ctx *ctx, LLVMContextRef llvm, const char *name,
                                Function *const *functions, uint32_t nfunctions,
                                const PipelineOptions *options) {
    LLVMModuleRef module = pipeline_codegen(ctx, llvm, name, functions, nfunctions, options);
    if (!module) return NULL;
    ctx_enter(ctx, "target");
    return target_optimize(ctx, module, options->machine) ? module : NULL;
}
