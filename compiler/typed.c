/* typed.c: what is typed into a session: definitions, and expressions whose value is shown.
 *
 * An expression is compiled and run like everything else.
 */
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_item(const Tree *tree) {
    return tree->kind >= T_IMPORT && tree->kind <= T_TRAIN;
}

static void put_values(FILE *out, const Tensor *tensor, const double *values) {
    int64_t n = tensor_elements(tensor, 1);
    uint32_t rank = tensor->rank;
    int64_t row = rank ? tensor->dims[rank - 1] : 1;
    for (int64_t i = 0; i < n; i++) {
        if (rank && i % row == 0) fputs(i ? "]\n[" : "[", out);
        if (rank && i % row) fputs(", ", out);
        fprintf(out, isnan(values[i]) ? "nan" : "%.9g", values[i]); /* whatever its sign */
    }
    fputs(rank ? "]\n" : "\n", out);
}

/* Runs a closed module and prints its one root. */
static bool run_expression(Dlc *dlc, Module *m, FILE *out) {
    Ctx *ctx = &dlc->ctx;
    PipelineOptions pipeline;
    DlcOptions options = {.f64 = true, .batch = 1, .verify = ctx->verify};
    if (!session_options(dlc, &options, &pipeline) || !pipeline_normalize(ctx, m)) return false;
    const Layout *layout = plan_layout(ctx, NULL, 0, NULL, 0, 8, NULL);
    PlanOptions plan = pipeline_plan_options(&pipeline);
    Function *f = plan_function(ctx, m, "it", NULL, 0, layout, &plan);
    if (!f || diag_failed(ctx)) return false;
    const char *name = arena_printf(ctx->arena, "typed%u", dlc->typed);
    Jit *jit = session_jit(dlc, name, &f, 1, &pipeline);
    DlrtFunction *function = jit ? session_find(dlc, jit, name, "it") : NULL;
    if (!function) return false;

    const Tensor *it = m->roots.at[0].tensor;
    int64_t n = tensor_elements(it, 1);
    size_t result_bytes = ((size_t)n * 8 + 63) / 64 * 64, arena_bytes = (size_t)f->arena_bytes + 64;
    char *memory = aligned_alloc(64, (result_bytes + arena_bytes + 63) / 64 * 64);
    if (!memory) {
        diag_error(ctx, (Span){0, 0}, "out of memory for a value of %lld numbers", (long long)n);
        return false;
    }
    void *results[] = {memory};
    DlrtCall call = {.results = results, .n = 1, .step = 1, .arena = memory + result_bytes};
    function(&call);
    double *values = (double *)(void *)memory;
    if (it->classes) /* int32 values become doubles, from the last on: they overlap */
        for (int64_t i = n; i-- > 0;) {
            int32_t whole;
            memcpy(&whole, memory + 4 * i, 4);
            values[i] = whole;
        }
    put_values(out, it, values);
    free(memory);
    return true;
}

static bool take(Dlc *dlc, SyntaxFile *typed, FILE *out) {
    Ctx *ctx = &dlc->ctx;
    SyntaxFile *items = ARENA_NEW(ctx->arena, SyntaxFile);
    *items = *typed;
    items->tree = ARENA_NEW(ctx->arena, Tree);
    *items->tree = *typed->tree;
    items->tree->file.items = (TreeList){0};
    TreeList all = typed->tree->file.items;
    for (uint32_t i = 0; i < all.len; i++)
        if (is_item(all.at[i])) vec_push(ctx->arena, &items->tree->file.items, all.at[i]);
    if (items->tree->file.items.len) {
        sema_declare(ctx, dlc->program, items);
        vec_push(ctx->arena, &dlc->files, items);
    }
    for (uint32_t i = 0; i < all.len && !diag_failed(ctx); i++) {
        if (is_item(all.at[i])) continue;
        Module *m = sema_expression(ctx, dlc->program, all.at[i]);
        if (m && !diag_failed(ctx)) run_expression(dlc, m, out);
    }
    return !diag_failed(ctx);
}

DlcTyped dlc_type(Dlc *dlc, const char *text, FILE *out) {
    Ctx *ctx = &dlc->ctx;
    const char *name = arena_printf(ctx->arena, "<typed %u>", ++dlc->typed);
    SyntaxFile typed;
    ctx_enter(ctx, "syntax");
    Source *source = source_add(&ctx->sources, name, text, strlen(text));
    switch (syntax_parse_typed(ctx, source, &typed)) {
    case SYNTAX_UNFINISHED: return DLC_TYPED_UNFINISHED;
    case SYNTAX_FAILED: return DLC_TYPED_FAILED;
    case SYNTAX_COMPLETE: break;
    }
    return take(dlc, &typed, out) ? DLC_TYPED_DONE : DLC_TYPED_FAILED;
}
