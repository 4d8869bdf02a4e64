/* sema/metric.c: metrics, as statistics of batches and what is computed from them.
 *
 * Each `mean[batch, …]` in a metric becomes a statistic: a tensor of rank 0 that the runtime
 * averages over the data. What is computed from statistics alone goes into the module `finish`. A
 * metric without one is a number for an example, and its mean is its statistic.
 */
#include "sema/private.h"

typedef struct Score {
    Sym name;
    Span span;
    const Expr *value; /* over statistics and other numbers */
} Score;
typedef Vec(Score) Scores;

Value metric_statistic(const Place *p, const Tree *reduce, const Expr *mean) {
    Expander *x = p->x;
    if (reduce->reduce.word != RED_MEAN) {
        diag_error(
            x->ctx, reduce->span,
            "over the batch a metric can only take the mean: it is the mean over the whole data");
        return value_error();
    }
    Value v = define_tensor(p, "stat", NULL, 0, mean, reduce->span, NULL);
    if (v.kind != VALUE_TENSOR) return v;
    if (v.nhidden) {
        diag_error(
            x->ctx, reduce->span,
            "a mean over the batch in a metric is one number; bind the other indices in it too");
        return value_error();
    }
    vec_push(x->ctx->arena, &x->stats, v.tensor);
    return v;
}

/* ---- uses
 * ------------------------------------------------------------------------------------------- */

static Value eval_metric(const Place *p, const Definition *definition, const Tree *call,
                         const char *name) {
    Ctx *ctx = p->x->ctx;
    Arguments args = eval_arguments(p, &call->call.args);
    if (!enter_call(p, definition, call->span)) return value_error();
    Scope *scope = bind_arguments(p, definition, &args, call->span,
                                  arena_printf(ctx->arena, "metric.%s.", name));
    Value v = value_error();
    if (scope) {
        p->x->in_metric = true;
        v = run_body(p, definition, scope);
        p->x->in_metric = false;
    }
    leave_call(p->x);
    return v;
}

static bool is_named(const Scores *scores, Sym name) {
    for (uint32_t i = 0; i < scores->len; i++)
        if (scores->at[i].name == name) return true;
    return false;
}

static Sym name_of(Expander *x, const Tree *use, const Scores *scores) {
    Ctx *ctx = x->ctx;
    const char *text = tree_text(ctx, use->kind == T_CALL ? use->call.callee : use);
    Sym name = sym(ctx, text);
    for (unsigned n = 2; is_named(scores, name); n++) name = sym_printf(ctx, "%s%u", text, n);
    return name;
}

static void unknown_metric(Expander *x, const Tree *callee) {
    Diag *d = diag_error(x->ctx, callee->span, "there is no metric `%s`", callee->name);
    const char *near = program_nearest(x->ctx, x->program, SPACE_METRIC, callee->name, NULL, 0);
    if (near) diag_help(x->ctx, d, "did you mean `%s`?", near);
}

static Value eval_use(const Place *p, const Tree *use, const char *name) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    const Tree *callee = use->kind == T_CALL ? use->call.callee : NULL;
    Place place = *p;
    place.ranges = infer_ranges(p, use, NULL, NULL, NULL, NULL);
    if (!place.ranges) return value_error();
    if (callee && callee->kind == T_NAME) {
        const Definition *metric =
            program_find(ctx, x->program, SPACE_METRIC, callee->name, callee->span);
        if (metric) return eval_metric(&place, metric, use, name);
        bool is_function =
            program_find(ctx, x->program, SPACE_FUNCTION, callee->name, callee->span) ||
            scope_find(p->scope, callee->name, p->position);
        Op op;
        if (!is_function && !find_operation(callee->name, &op)) {
            unknown_metric(x, callee);
            return value_error();
        }
    }
    if (use->kind == T_NAME && program_find(ctx, x->program, SPACE_METRIC, use->name, use->span) &&
        !scope_find(p->scope, use->name, p->position)) {
        diag_error(ctx, use->span, "the metric `%s` needs its arguments: `%s(…)`", use->name,
                   use->name);
        return value_error();
    }
    x->in_metric = true;
    Value v = eval(&place, use);
    x->in_metric = false;
    return v;
}

/* ---- statistics to metrics
 * ------------------------------------------------------------------------------ */

typedef struct Finish {
    Expander *x;
    Module *m;
    Tensor *stats; /* the input of `finish` */
    bool reads_stats, reads_examples;
} Finish;

static const Expr *read_stat(Finish *f, uint32_t k) {
    const Expr *sub = ir_int(f->x->ctx, k);
    return ir_read(f->x->ctx, f->stats, &sub, NULL);
}

/* Reads of statistics become elements of `stats`; numbers made of them are written out. */
static const Expr *finish_read(void *data, const Expr *e) {
    Finish *f = data;
    Expander *x = f->x;
    if (e->kind != EX_READ) return NULL;
    for (uint32_t k = 0; k < x->stats.len; k++)
        if (x->stats.at[k] == e->read.tensor) {
            f->reads_stats = true;
            return read_stat(f, k);
        }
    const Equation *definition = ir_definition(x->m, e->read.tensor);
    if (e->read.tensor->rank == 0 && definition)
        return ir_rewrite(x->ctx, definition->body, finish_read, f);
    f->reads_examples = true;
    return NULL;
}

static bool has_stats(Expander *x, const Expr *value) {
    Finish f = {.x = x, .m = x->m};
    int64_t dim = (int64_t)x->stats.len + 1;
    Module *scratch = ir_module(x->ctx, x->m->name);
    f.stats =
        ir_tensor(x->ctx, scratch, TENSOR_INPUT, sym(x->ctx, "stats"), 1, &dim, 0, (Span){0, 0});
    ir_rewrite(x->ctx, value, finish_read, &f);
    return f.reads_stats;
}

/* A number for an example: its mean is a statistic. */
static const Expr *averaged(const Place *p, const Expr *value, Span span) {
    Expander *x = p->x;
    Value v =
        define_tensor(p, "stat", NULL, 0, mean_over_batch(x, ir_real(x->ctx, value)), span, NULL);
    if (v.kind != VALUE_TENSOR) return NULL;
    vec_push(x->ctx->arena, &x->stats, v.tensor);
    return v.expr;
}

static void add_metric(const Place *p, const Tree *use, Scores *scores) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    Sym name = name_of(x, use, scores);
    Value v = eval_use(p, use, name);
    if (v.kind == VALUE_ERROR) return;
    if (v.kind != VALUE_TENSOR || v.rank) {
        diag_error(ctx, use->span, "a metric is one number for an example; this is %s",
                   value_shape(ctx, &v));
        return;
    }
    const Expr *e = v.expr;
    if (e->type == TY_BOOL) e = ir_select(ctx, e, ir_int(ctx, 1), ir_int(ctx, 0));
    if (!has_stats(x, e)) e = averaged(p, e, use->span);
    if (!e) return;
    Score score = {name, use->span, ir_real(ctx, e)};
    vec_push(ctx->arena, scores, score);
}

static void make_finish(Expander *x, const Scores *scores) {
    Ctx *ctx = x->ctx;
    Model *model = x->model;
    Finish f = {.x = x, .m = ir_module(ctx, model->name)};
    int64_t dim = (int64_t)x->stats.len;
    f.stats = ir_tensor(ctx, f.m, TENSOR_INPUT, sym(ctx, "stats"), 1, &dim, 0, model->span);
    for (uint32_t i = 0; i < scores->len; i++) {
        const Score *score = &scores->at[i];
        const Expr *e = ir_rewrite(ctx, score->value, finish_read, &f);
        if (f.reads_examples) {
            diag_error(ctx, score->span,
                       "this metric mixes means over the batch with numbers for single examples");
            return;
        }
        Tensor *t = ir_tensor(ctx, f.m, TENSOR_LOCAL, score->name, 0, NULL, 0, score->span);
        ir_define(ctx, f.m, t, NULL, e, score->span);
        Root root = {score->name, t};
        vec_push(ctx->arena, &f.m->roots, root);
        Metric metric = {score->name, score->span};
        vec_push(ctx->arena, &model->metrics, metric);
    }
    model->nstats = x->stats.len;
    model->finish = f.m;
}

enum { MAX_METRICS = 16 }; /* as many as runtime/dlrt.h has room for */

void expand_metrics(Expander *x, const TreeList *uses) {
    Scores scores = {0};
    Place place = place_in(x->root, *x->root->position + 1);
    for (uint32_t i = 0; i < uses->len; i++) {
        const Tree *use = uses->at[i];
        for (uint32_t k = 0; k < use->list.items.len; k++)
            add_metric(&place, use->list.items.at[k], &scores);
    }
    if (scores.len > MAX_METRICS)
        diag_error(x->ctx, scores.at[MAX_METRICS].span, "a model has at most %d metrics",
                   MAX_METRICS);
    else if (scores.len)
        make_finish(x, &scores);
}
