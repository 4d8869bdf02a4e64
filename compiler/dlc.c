/* dlc.c: the public interface: sessions, loading, compiling. */
#include "session.h"

#include "codegen/export.h"
#include "target/header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *dlc_version(void) {
    return DLC_VERSION;
}

Dlc *dlc_open(void) {
    Dlc *dlc = calloc(1, sizeof *dlc);
    if (!dlc) return NULL;
    ctx_init(&dlc->ctx);
    dlc->ctx.stage = "library";
    dlc->program = sema_program(&dlc->ctx);
    return dlc;
}

void dlc_close(Dlc *dlc) {
    if (!dlc) return;
    for (uint32_t i = 0; i < dlc->jits.len; i++) target_jit_free(dlc->jits.at[i]);
    ctx_free(&dlc->ctx);
    free(dlc);
}

unsigned dlc_show_messages(Dlc *dlc, FILE *out, bool color, bool json) {
    unsigned errors = dlc->ctx.diags.errors;
    diag_show(&dlc->ctx, out, color, json);
    return errors;
}

size_t dlc_stages(Dlc *dlc, const DlcStage **stages) {
    Ctx *ctx = &dlc->ctx;
    ctx_enter(ctx, ctx->stage);
    DlcStage *copy = ARENA_ARRAY(ctx->arena, DlcStage, ctx->times.len + 1);
    for (uint32_t i = 0; i < ctx->times.len; i++)
        copy[i] = (DlcStage){ctx->times.at[i].stage, ctx->times.at[i].seconds};
    *stages = copy;
    return ctx->times.len;
}

typedef Vec(DlcMessage) Messages;

static void add_message(Dlc *dlc, const Diag *diag, Messages *messages) {
    Location at = source_locate(&dlc->ctx.sources, diag->span);
    DlcMessage message = {(DlcSeverity)diag->severity, at.source ? at.source->path : "", at.line,
                          at.column, diag->message};
    vec_push(dlc->ctx.arena, messages, message);
}

size_t dlc_messages(Dlc *dlc, const DlcMessage **messages) {
    Messages found = {0};
    for (uint32_t i = 0; i < dlc->ctx.diags.all.len; i++) {
        const Diag *diag = dlc->ctx.diags.all.at[i];
        add_message(dlc, diag, &found);
        for (uint32_t k = 0; k < diag->attached.len; k++)
            add_message(dlc, diag->attached.at[k], &found);
    }
    *messages = found.at;
    return found.len;
}

/* ---- loading ---------------------------------------------------------------------------- */

static bool declare(Dlc *dlc, const Source *source) {
    Ctx *ctx = &dlc->ctx;
    SyntaxFile *file = ARENA_NEW(ctx->arena, SyntaxFile);
    ctx_enter(ctx, "syntax");
    *file = syntax_parse(ctx, source);
    if (ctx->verify) syntax_verify(ctx, file->tree);
    vec_push(ctx->arena, &dlc->files, file);
    ctx_enter(ctx, "sema");
    sema_declare(ctx, dlc->program, file);
    return !diag_failed(ctx);
}

bool dlc_load(Dlc *dlc, const char *path) {
    Source *source = source_read(&dlc->ctx.sources, path);
    if (source) return declare(dlc, source);
    diag_error(&dlc->ctx, (Span){0, 0}, "cannot read %s: %s", path, strerror(errno));
    return false;
}

bool dlc_load_text(Dlc *dlc, const char *name, const char *text) {
    return declare(dlc, source_add(&dlc->ctx.sources, name, text, strlen(text)));
}

size_t dlc_models(Dlc *dlc, const char *const **names) {
    const Sym *syms;
    uint32_t n = sema_models(dlc->program, &syms);
    *names = syms;
    return n;
}

bool dlc_check(Dlc *dlc) {
    Ctx *ctx = &dlc->ctx;
    sema_check(ctx, dlc->program);
    if (diag_failed(ctx)) return false;
    const Sym *names;
    uint32_t n = sema_models(dlc->program, &names);
    for (uint32_t i = 0; i < n; i++) {
        PipelineOptions options;
        DlcOptions wanted = {.model = names[i], .verify = ctx->verify};
        if (!session_options(dlc, &wanted, &options)) return false;
        Model *model = pipeline_expand(ctx, dlc->program, names[i], &options);
        if (!model) continue;
        if (model->train) pipeline_normalize(ctx, model->train);
        pipeline_normalize(ctx, model->infer);
        const DlrtTrainSpec *train = sema_train(ctx, dlc->program, names[i]);
        if (train && train->data) sema_data(ctx, dlc->program, train->data);
    }
    return !diag_failed(ctx);
}

const char *dlc_format(Dlc *dlc, const char *path) {
    Ctx *ctx = &dlc->ctx;
    Source *source = source_read(&ctx->sources, path);
    if (!source) {
        diag_error(ctx, (Span){0, 0}, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    SyntaxFile file = syntax_parse(ctx, source);
    return diag_failed(ctx) ? NULL : syntax_print(ctx, &file);
}

const DlrtTrainSpec *dlc_train_spec(Dlc *dlc, const char *model) {
    return sema_train(&dlc->ctx, dlc->program, model);
}

const DlrtDataSpec *dlc_data_spec(Dlc *dlc, const char *data) {
    return sema_data(&dlc->ctx, dlc->program, data);
}

/* ---- compiling -------------------------------------------------------------------------- */

bool session_options(Dlc *dlc, const DlcOptions *options, PipelineOptions *out) {
    Ctx *ctx = &dlc->ctx;
    uint32_t errors = ctx->diags.errors; /* of another model, where all are checked */
    if (options->verify) ctx->verify = true;
    const DlrtTrainSpec *train =
        options->batch && options->steps ? NULL : sema_train(ctx, dlc->program, options->model);
    int64_t steps = options->steps ? options->steps : train ? train->steps : 0;
    int64_t batch = options->batch ? options->batch : train ? train->batch : 64;
    Setting *settings = ARENA_ARRAY(ctx->arena, Setting, options->nsettings + 1);
    for (size_t i = 0; i < options->nsettings; i++)
        settings[i] = (Setting){options->settings[i].name, options->settings[i].value};
    *out = (PipelineOptions){.sema = {.max_batch = batch,
                                      .settings = settings,
                                      .steps = steps > 0 ? steps : 0,
                                      .nsettings = (uint32_t)options->nsettings},
                             .f64 = options->f64,
                             .bf16 = options->bf16 && !options->f64,
                             .winograd = options->winograd == DLC_WINOGRAD_OFF ? 0
                                         : options->winograd == DLC_WINOGRAD_4 ? 4
                                                                               : 2,
                             .inference = options->inference,
                             .at_once = options->at_once,
                             .workers = options->threads > 1 ? options->threads : 1,
                             .threads = {options->parallel, options->threads},
                             /* Nothing is verified in what an earlier run made. */
                             .cache = options->verify ? NULL : options->cache,
                             .machine = target_machine(ctx, options->triple, options->cpu)};
    if (out->bf16 && out->machine && !out->machine->has_bf16)
        diag_warning(ctx, (Span){0, 0},
                     "pairs of bf16 are not multiplied on `%s`: products are of single precision",
                     out->machine->cpu);
    return out->machine && ctx->diags.errors == errors;
}

/* What generating one function needs; lives as long as the session. */
typedef struct Unmade {
    Ctx *ctx;
    const char *model;
    Function *function;
    PipelineOptions options;
} Unmade;

static LLVMModuleRef generate_unmade(void *data, LLVMContextRef llvm) {
    const Unmade *unmade = data;
    return pipeline_codegen(unmade->ctx, llvm, unmade->model, &unmade->function, 1,
                            &unmade->options);
}

static Jit *compile_at_once(Ctx *ctx, const char *name, Function *const *functions,
                            uint32_t nfunctions, const PipelineOptions *options) {
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module = pipeline_generate(ctx, llvm, name, functions, nfunctions, options);
    if (module) return target_jit(ctx, module, llvm, options->machine);
    LLVMContextDispose(llvm);
    return NULL;
}

static Jit *compile_when_called(Ctx *ctx, const char *name, Function *const *functions,
                                uint32_t nfunctions, const PipelineOptions *options) {
    Jit *jit = target_jit_lazy(ctx);
    for (uint32_t i = 0; jit && i < nfunctions; i++) {
        Unmade *unmade = ARENA_NEW(ctx->arena, Unmade);
        *unmade = (Unmade){ctx, name, functions[i], *options};
        const char *symbol = codegen_symbol(ctx, name, functions[i]->name);
        TargetCode code = {symbol,           generate_unmade,  unmade,
                           options->machine, options->threads, options->cache};
        if (target_jit_promise(ctx, jit, code)) continue;
        target_jit_free(jit);
        return NULL;
    }
    return jit;
}

Jit *session_jit(Dlc *dlc, const char *name, Function *const *functions, uint32_t nfunctions,
                 const PipelineOptions *options) {
    Ctx *ctx = &dlc->ctx;
    Jit *jit = options->at_once ? compile_at_once(ctx, name, functions, nfunctions, options)
                                : compile_when_called(ctx, name, functions, nfunctions, options);
    if (jit) vec_push(ctx->arena, &dlc->jits, jit);
    return jit;
}

DlrtFunction *session_find(Dlc *dlc, Jit *jit, const char *model, const char *function) {
    void *address = target_jit_find(&dlc->ctx, jit, codegen_symbol(&dlc->ctx, model, function));
    DlrtFunction *result;
    memcpy(&result, &address,
           sizeof result); /* ISO C has no cast from object to function pointer */
    return result;
}

Planned *session_plan(Dlc *dlc, const DlcOptions *options, PipelineOptions *pipeline) {
    if (!session_options(dlc, options, pipeline)) return NULL;
    Model *model = pipeline_expand(&dlc->ctx, dlc->program, options->model, pipeline);
    return model ? pipeline_plan(&dlc->ctx, model, pipeline) : NULL;
}

const DlrtModel *session_compile(Dlc *dlc, const Planned *planned,
                                 const PipelineOptions *pipeline) {
    const char *name = planned->model->name;
    Jit *jit = session_jit(dlc, name, planned->all, planned->nall, pipeline);
    if (!jit) return NULL;
    DlrtModel *model = describe_model(&dlc->ctx, planned, pipeline);
    model->init = session_find(dlc, jit, name, "init");
    model->forward = session_find(dlc, jit, name, "forward");
    if (planned->step) model->step = session_find(dlc, jit, name, "step");
    if (planned->evaluate) model->evaluate = session_find(dlc, jit, name, "evaluate");
    if (planned->finish) model->finish = session_find(dlc, jit, name, "finish");
    return diag_failed(&dlc->ctx) ? NULL : model;
}

const DlrtModel *dlc_compile(Dlc *dlc, const DlcOptions *options) {
    PipelineOptions pipeline;
    Planned *planned = session_plan(dlc, options, &pipeline);
    return planned ? session_compile(dlc, planned, &pipeline) : NULL;
}

/* The functions that an object file holds: what a C program calls. */
static uint32_t exported(const Planned *planned, Function **functions) {
    uint32_t n = 0;
    functions[n++] = planned->init;
    functions[n++] = planned->forward;
    if (planned->step) functions[n++] = planned->step;
    return n;
}

/* The LLVM module of the object file. */
static LLVMModuleRef object_module(Dlc *dlc, LLVMContextRef llvm, const Planned *planned,
                                   const PipelineOptions *pipeline, bool optimize) {
    Ctx *ctx = &dlc->ctx;
    Function *functions[3];
    uint32_t n = exported(planned, functions);
    ctx_enter(ctx, "codegen");
    LLVMModuleRef module =
        codegen_module(ctx, llvm, planned->model->name, functions, n, pipeline->machine);
    if (!module || diag_failed(ctx)) return NULL;
    codegen_export(ctx, llvm, module, planned->model, functions, n, pipeline->f64);
    ctx_enter(ctx, "target");
    if (optimize && !target_optimize(ctx, module, pipeline->machine)) return NULL;
    return module;
}

static void write_header(Dlc *dlc, const Planned *planned, const PipelineOptions *pipeline,
                         Text *text) {
    DlrtModel *model = describe_model(&dlc->ctx, planned, pipeline);
    target_header(&dlc->ctx, text, model, pipeline->machine, planned->step != NULL);
}

bool dlc_write_object(Dlc *dlc, const DlcOptions *options, const char *object_path,
                      const char *header_path) {
    Ctx *ctx = &dlc->ctx;
    PipelineOptions pipeline;
    Planned *planned = session_plan(dlc, options, &pipeline);
    if (!planned) return false;
    bool good = true;
    if (object_path) {
        LLVMContextRef llvm = LLVMContextCreate();
        LLVMModuleRef module = object_module(dlc, llvm, planned, &pipeline, true);
        good = module && target_object(ctx, module, pipeline.machine, object_path);
        if (module) LLVMDisposeModule(module);
        LLVMContextDispose(llvm);
    }
    if (good && header_path) {
        Text text = text_new(ctx->arena);
        write_header(dlc, planned, &pipeline, &text);
        good = target_write(ctx, header_path, text_string(&text), text.len);
    }
    return good;
}

/* ---- one stage, printed ----------------------------------------------------------------- */

/* The gradients as outputs, without the update: the derivative program alone. */
static Module *gradient_module(Ctx *ctx, Model *model) {
    Module *m = model->train;
    m->updates.len = 0;
    if (!pipeline_differentiate(ctx, model)) return NULL;
    for (uint32_t i = 0; i < model->params.len; i++) {
        Tensor *gradient = map_get(&m->gradients, model->params.at[i]);
        Root root = {gradient->name, gradient};
        vec_push(ctx->arena, &m->roots, root);
    }
    return m;
}

static bool is(const char *stage, const char *name, const char *alias) {
    return strcmp(stage, name) == 0 || (alias && strcmp(stage, alias) == 0);
}

static bool emit_syntax(Dlc *dlc, FILE *out) {
    Text text = text_new(dlc->ctx.arena);
    for (uint32_t i = 0; i < dlc->files.len; i++) syntax_dump(&text, dlc->files.at[i]->tree);
    fputs(text_string(&text), out);
    return true;
}

static bool emit_equations(Dlc *dlc, const DlcOptions *options, const char *stage, FILE *out) {
    Ctx *ctx = &dlc->ctx;
    PipelineOptions pipeline;
    if (!session_options(dlc, options, &pipeline)) return false;
    Model *model = pipeline_expand(ctx, dlc->program, options->model, &pipeline);
    if (!model) return false;
    bool trains = model->train && model->train->loss && !options->inference;
    Module *m = trains ? model->train : model->infer;
    if (is(stage, "diff", "grad")) {
        if (!trains) {
            diag_error(ctx, model->span,
                       "model `%s` has no loss, so there is nothing to differentiate", model->name);
            return false;
        }
        m = gradient_module(ctx, model);
    } else {
        m->updates.len = 0;
        m->gradients = (Map){0};
        ir_prune(ctx, m);
        if (is(stage, "ir", NULL) && !pipeline_normalize(ctx, m)) return false;
    }
    if (!m || diag_failed(ctx)) return false;
    Text text = text_new(ctx->arena);
    ir_print(ctx, &text, m);
    fputs(text_string(&text), out);
    return true;
}

static bool emit_code(Dlc *dlc, const Planned *planned, const PipelineOptions *pipeline,
                      const char *stage, FILE *out) {
    Ctx *ctx = &dlc->ctx;
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module = object_module(dlc, llvm, planned, pipeline, !is(stage, "codegen", NULL));
    bool good = module != NULL;
    if (good && is(stage, "asm", "target")) {
        good = target_assembly(ctx, module, pipeline->machine, out);
    } else if (good) {
        char *text = LLVMPrintModuleToString(module);
        fputs(text, out);
        LLVMDisposeMessage(text);
    }
    if (module) LLVMDisposeModule(module);
    LLVMContextDispose(llvm);
    return good;
}

bool dlc_emit(Dlc *dlc, const DlcOptions *options, const char *stage, FILE *out) {
    Ctx *ctx = &dlc->ctx;
    if (is(stage, "syntax", "ast")) return emit_syntax(dlc, out);
    if (is(stage, "sema", NULL) || is(stage, "ir", NULL) || is(stage, "diff", "grad"))
        return emit_equations(dlc, options, stage, out);
    PipelineOptions pipeline;
    Planned *planned = session_plan(dlc, options, &pipeline);
    if (!planned) return false;
    if (is(stage, "codegen", NULL) || is(stage, "llvm", NULL) || is(stage, "asm", "target"))
        return emit_code(dlc, planned, &pipeline, stage, out);
    Text text = text_new(ctx->arena);
    if (is(stage, "plan", NULL))
        for (uint32_t i = 0; i < planned->nall; i++) plan_print(ctx, &text, planned->all[i]);
    else if (is(stage, "header", NULL))
        write_header(dlc, planned, &pipeline, &text);
    else
        diag_error(ctx, (Span){0, 0}, "there is no stage `%s`", stage);
    fputs(text_string(&text), out);
    return !diag_failed(ctx);
}

const DlcSummary *dlc_summary(Dlc *dlc, const DlcOptions *options) {
    PipelineOptions pipeline;
    Planned *planned = session_plan(dlc, options, &pipeline);
    return planned ? summary_of(&dlc->ctx, planned, pipeline.sema.max_batch) : NULL;
}

const DlcGradients *dlc_gradients(Dlc *dlc, const DlcOptions *options) {
    return gradients_compile(dlc, options);
}

const DlcBench *dlc_bench(Dlc *dlc, const DlcOptions *options) {
    return bench_compile(dlc, options);
}
