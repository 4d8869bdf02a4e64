/* sema/model.c: the modules of a model.
 *
 * The body is expanded twice: with `train` true for the training module, with `train` false for
 * inference and evaluation. Parameters and states are the same tensors in all. Every statement is
 * evaluated in both, in the same order, so that layers get the same names and draws the same
 * places.
 */
#include "sema/private.h"

#include <math.h>

typedef struct Body {
    Vec(const Tree *) losses, optimizers;
    TreeList metrics, outputs; /* T_METRIC_USE; T_NAME of outputs in order */
    TreeList statements;
} Body;

/* ---- what a model consists of ------------------------------------------------------------------
 */

static void push_tree(Ctx *ctx, TreeList *list, Tree *tree) {
    vec_push(ctx->arena, list, tree);
}

static Tree *name_tree(Ctx *ctx, Sym name, Span span) {
    Tree *tree = ARENA_NEW(ctx->arena, Tree);
    tree->kind = T_NAME;
    tree->span = span;
    tree->name = name;
    return tree;
}

static Body sort_statements(Ctx *ctx, const TreeList *statements) {
    Body body = {0};
    for (uint32_t i = 0; i < statements->len; i++) {
        Tree *tree = statements->at[i];
        switch ((int)tree->kind) {
        case T_LOSS: vec_push(ctx->arena, &body.losses, tree); break;
        case T_OPTIMIZER_USE: vec_push(ctx->arena, &body.optimizers, tree); break;
        case T_METRIC_USE: push_tree(ctx, &body.metrics, tree); break;
        case T_OUTPUT:
            for (uint32_t k = 0; k < tree->list.items.len; k++)
                push_tree(ctx, &body.outputs, tree->list.items.at[k]);
            break;
        case T_EQUATION:
            if (tree->equation.is_output)
                push_tree(ctx, &body.outputs,
                          name_tree(ctx, tree->equation.name, tree->equation.name_span));
            push_tree(ctx, &body.statements, tree);
            break;
        default: push_tree(ctx, &body.statements, tree);
        }
    }
    if (body.losses.len > 1)
        diag_error(ctx, body.losses.at[1]->span, "a model has one loss; add them up: `loss a + b`");
    if (body.optimizers.len > 1)
        diag_error(ctx, body.optimizers.at[1]->span, "a model has one optimizer");
    return body;
}

/* ---- inputs and targets
 * -------------------------------------------------------------------------- */

static Tensor *find_port(const Model *model, bool is_target, Sym name) {
    uint32_t n = is_target ? model->targets.len : model->inputs.len;
    Tensor **all = is_target ? model->targets.at : model->inputs.at;
    for (uint32_t i = 0; i < n; i++)
        if (all[i]->name == name) return all[i];
    return NULL;
}

static bool port_dims(const Place *p, const Tree *decl, int64_t *dims, uint32_t *rank,
                      int64_t *classes) {
    Ctx *ctx = p->x->ctx;
    dims[0] = EXTENT_BATCH;
    *rank = 1;
    *classes = 0;
    for (uint32_t d = 0; d < decl->decl.dims.len; d++) {
        const Tree *dim = decl->decl.dims.at[d];
        if (dim->kind == T_REST) {
            diag_error(ctx, dim->span, "the dimensions of `%s` are sizes; `..` is none",
                       decl->decl.name);
            return false;
        }
        if (!eval_size(p, dim, arena_printf(ctx->arena, "a dimension of `%s`", decl->decl.name),
                       &dims[(*rank)++]))
            return false;
    }
    if (decl->decl.class_size) {
        if (!eval_size(p, decl->decl.class_size, "the number of classes", classes)) return false;
        if (*classes < 1 || *classes > INT32_MAX) {
            diag_error(ctx, decl->decl.class_size->span,
                       "`class(K)` has at least one class, not %lld", (long long)*classes);
            return false;
        }
    }
    return check_dims(ctx, decl->span, decl->decl.name, dims, *rank);
}

static void enter_port(const Place *p, const Tree *decl, bool is_target) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    if (decl->kind != T_DECL || is_batch_name(ctx, decl->decl.name, decl->span)) return;
    Sym name = decl->decl.name;
    Binding *before = scope_find(x->root, name, 0);
    if (before) {
        Diag *d = diag_error(ctx, decl->span, "`%s` is defined twice", name);
        diag_note(ctx, d, before->span, "first defined here");
        return;
    }
    if (decl->decl.value) {
        diag_error(ctx, decl->span, "an input has no default");
        return;
    }
    Value value = value_error();
    int64_t *dims = ARENA_ARRAY(ctx->arena, int64_t, decl->decl.dims.len + 2), classes;
    uint32_t rank;
    if (port_dims(p, decl, dims, &rank, &classes)) {
        Tensor *tensor = find_port(x->model, is_target, name);
        if (tensor)
            ir_use_tensor(ctx, x->m, tensor);
        else {
            tensor = ir_tensor(ctx, x->m, is_target ? TENSOR_TARGET : TENSOR_INPUT, name, rank,
                               dims, classes, decl->span);
            if (is_target)
                vec_push(ctx->arena, &x->model->targets, tensor);
            else
                vec_push(ctx->arena, &x->model->inputs, tensor);
        }
        const Expr *hidden = ir_index_value(ctx, x->root->batch);
        value = value_tensor(ctx, tensor, 1, &hidden);
    }
    scope_bind(x->root, name, decl->span, value);
}

/* Inputs come first; their sizes may be `size`s, which are entered with the other statements. */
static void enter_ports(Expander *x, const TreeList *statements) {
    Place place = place_in(x->root, 1);
    for (uint32_t i = 0; i < statements->len; i++) {
        const Tree *tree = statements->at[i];
        if (tree->kind != T_INPUT && tree->kind != T_TARGET) continue;
        for (uint32_t k = 0; k < tree->list.items.len; k++)
            enter_port(&place, tree->list.items.at[k], tree->kind == T_TARGET);
    }
}

static bool has_ports(const TreeList *statements) {
    for (uint32_t i = 0; i < statements->len; i++)
        if (statements->at[i]->kind == T_INPUT || statements->at[i]->kind == T_TARGET) return true;
    return false;
}

/* ---- one expansion
 * --------------------------------------------------------------------------------- */

/* Was something of this model wrong? Others may be, too. */
bool has_failed(const Expander *x) {
    return x->ctx->diags.errors > x->errors;
}

static Expander *new_expander(Ctx *ctx, Program *program, Model *model, const SemaOptions *options,
                              Sym name, const char *owner) {
    Expander *x = ARENA_NEW(ctx->arena, Expander);
    x->ctx = ctx;
    x->program = program;
    x->model = model;
    x->options = options;
    x->fuel = EXPANSION_FUEL;
    x->errors = ctx->diags.errors;
    x->stack = __builtin_frame_address(0);
    x->m = ir_module(ctx, name);
    x->m->max_batch = options ? options->max_batch : 1;
    x->root = scope_new(x, NULL, "", owner, false);
    return x;
}

/* `first`: NULL for training, else the expansion for training. */
static Expander *expand_body(Ctx *ctx, Program *program, Model *model, const SemaOptions *options,
                             const Body *body, const Expander *first) {
    const char *owner = arena_printf(ctx->arena, "model `%s`", model->name);
    Expander *x = new_expander(ctx, program, model, options, model->name, owner);
    x->train = !first;
    x->first = first;
    if (has_ports(&body->statements))
        x->root->batch = ir_index(ctx, sym(ctx, "batch"), EXTENT_BATCH);
    TreeList sizes = {0};
    TreeList others = {0};
    for (uint32_t i = 0; i < body->statements.len; i++) {
        Tree *tree = body->statements.at[i];
        if (tree->kind == T_SIZE)
            push_tree(ctx, &sizes, tree);
        else if (tree->kind != T_INPUT && tree->kind != T_TARGET)
            push_tree(ctx, &others, tree);
    }
    Place place = place_in(x->root, 0);
    scope_enter(&place, &sizes);
    enter_ports(x, &body->statements);
    scope_enter(&place, &others);
    scope_run(x->root);
    return x;
}

static void add_root(Ctx *ctx, Module *m, Sym name, Tensor *tensor) {
    Root root = {name, tensor};
    vec_push(ctx->arena, &m->roots, root);
}

/* ---- outputs
 * ------------------------------------------------------------------------------------------- */

typedef struct Reaches {
    const Module *m;
    Ctx *ctx;
    Map seen;
    const Tensor *target;
    Vec(const Tensor *) todo;
} Reaches;

static void note_tensor(void *data, const Expr *e) {
    Reaches *r = data;
    if (e->kind != EX_READ || map_has(&r->seen, e->read.tensor)) return;
    map_set(r->ctx->arena, &r->seen, e->read.tensor, e->read.tensor);
    if (e->read.tensor->kind == TENSOR_TARGET) r->target = e->read.tensor;
    vec_push(r->ctx->arena, &r->todo, e->read.tensor);
}

/* A target that the tensor depends on, or NULL. */
static const Tensor *needs_target(Ctx *ctx, const Module *m, const Tensor *tensor) {
    Reaches r = {.m = m, .ctx = ctx, .target = tensor->kind == TENSOR_TARGET ? tensor : NULL};
    vec_push(ctx->arena, &r.todo, tensor);
    while (r.todo.len && !r.target) {
        const Equation *e = ir_definition(m, r.todo.at[--r.todo.len]);
        if (e) ir_visit(ctx, e->body, note_tensor, &r);
    }
    return r.target;
}

static void add_output(Expander *x, const Tree *name) {
    Ctx *ctx = x->ctx;
    if (name->kind != T_NAME) return;
    Place place = place_in(x->root, *x->root->position + 1);
    Value v = eval(&place, name);
    if (v.kind == VALUE_ERROR) return;
    if (value_is_word(&v)) {
        diag_error(ctx, name->span, "`%s` is %s; an output is a tensor", name->name,
                   value_shape(ctx, &v));
        return;
    }
    for (uint32_t i = 0; i < x->m->roots.len; i++)
        if (x->m->roots.at[i].name == name->name) {
            diag_error(ctx, name->span, "`%s` is an output twice", name->name);
            return;
        }
    if (!v.tensor) v = define_tensor(&place, name->name, v.at, v.rank, v.expr, name->span, NULL);
    if (v.kind != VALUE_TENSOR) return;
    const Tensor *target = needs_target(ctx, x->m, v.tensor);
    if (target) {
        Diag *d = diag_error(
            ctx, name->span,
            "the output `%s` depends on the target `%s`, which is not known when the model is used",
            name->name, target->name);
        diag_note(ctx, d, target->span, "`%s` is declared here", target->name);
        return;
    }
    add_root(ctx, x->m, name->name, v.tensor);
}

static void add_outputs(Expander *x, const Body *body) {
    for (uint32_t i = 0; i < body->outputs.len; i++) add_output(x, body->outputs.at[i]);
}

/* ---- the loss
 * --------------------------------------------------------------------------------------------- */

/* Part by part: what is the same for all examples stays outside of the sum. */
const Expr *mean_over_batch(Expander *x, const Expr *e) {
    Ctx *ctx = x->ctx;
    Index *hidden = x->root->batch;
    if (!hidden || !ir_uses_index(e, hidden)) return e;
    bool adds = e->kind == EX_OP && (e->op.op == OP_ADD || e->op.op == OP_SUB);
    if (adds && (!ir_uses_index(e->op.args[0], hidden) || !ir_uses_index(e->op.args[1], hidden)))
        return ir_op2(ctx, e->op.op, mean_over_batch(x, e->op.args[0]),
                      mean_over_batch(x, e->op.args[1]));
    Index *batch = ir_index(ctx, hidden->name, EXTENT_BATCH);
    Map map = {0};
    map_set(ctx->arena, &map, hidden, (void *)ir_index_value(ctx, batch));
    const Expr *sum = ir_reduce(ctx, REDUCE_SUM, &batch, 1, ir_substitute(ctx, e, &map));
    return ir_div(ctx, sum, ir_batch(ctx));
}

static Tensor *expand_loss(Expander *x, const Tree *loss) {
    Ctx *ctx = x->ctx;
    Place place = place_in(x->root, *x->root->position + 1);
    const Tree *tree = loss->unary.value;
    place.ranges = infer_ranges(&place, tree, NULL, NULL, NULL, NULL);
    Value v = place.ranges ? eval(&place, tree) : value_error();
    if (v.kind == VALUE_ERROR) return NULL;
    if (v.kind != VALUE_TENSOR || v.rank || v.expr->type == TY_BOOL) {
        Diag *d = diag_error(ctx, tree->span, "the loss is one number for an example; this is %s",
                             value_shape(ctx, &v));
        if (v.kind == VALUE_TENSOR && v.rank) diag_help(ctx, d, "reduce it: `mean[i] …`");
        return NULL;
    }
    bool is_it = v.tensor && v.tensor->kind == TENSOR_LOCAL && !v.nhidden && !v.tensor->classes;
    if (is_it) return v.tensor;
    v = define_tensor(&place, "loss", NULL, 0, mean_over_batch(x, ir_real(ctx, v.expr)), tree->span,
                      NULL);
    return v.tensor;
}

/* ---- all modules
 * --------------------------------------------------------------------------------------------- */

static void warn_unused(Expander *x) {
    for (uint32_t i = 0; i < x->root->bindings.len; i++) {
        const Binding *b = x->root->bindings.at[i];
        if (b->is_used || b->is_output || b->updates) continue;
        Diag *d = diag_warning(x->ctx, b->span, "`%s` is never used", b->name);
        if (b->tree->kind == T_EQUATION)
            diag_help(x->ctx, d, "to give it to callers: `output %s`", b->name);
    }
}

static Module *copy_module(Ctx *ctx, const Module *m) {
    Module *copy = ir_module(ctx, m->name);
    copy->max_batch = m->max_batch;
    for (uint32_t i = 0; i < m->tensors.len; i++) ir_use_tensor(ctx, copy, m->tensors.at[i]);
    for (uint32_t i = 0; i < m->equations.len; i++) {
        const Equation *e = m->equations.at[i];
        ir_define(ctx, copy, e->result, e->free, e->body, e->span);
    }
    for (uint32_t i = 0; i < m->derivatives.len; i++)
        vec_push(ctx->arena, &copy->derivatives, m->derivatives.at[i]);
    return copy;
}

static void make_evaluation(Expander *x, const Body *body) {
    Ctx *ctx = x->ctx;
    Model *model = x->model;
    Tensor *loss = body->losses.len ? expand_loss(x, body->losses.at[0]) : NULL;
    expand_metrics(x, &body->metrics);
    if (!body->losses.len && x->stats.len) {
        loss = ir_tensor(ctx, x->m, TENSOR_LOCAL, sym(ctx, "loss"), 0, NULL, 0, model->span);
        ir_define(ctx, x->m, loss, NULL, ir_number(ctx, NAN), model->span); /* there is none */
    }
    add_outputs(x, body);
    finish_penalties(x);
    if (has_failed(x)) return;
    model->infer = x->m;
    if (!loss) return;
    model->evaluate = copy_module(ctx, x->m);
    add_root(ctx, model->evaluate, sym(ctx, "loss"), loss);
    for (uint32_t k = 0; k < x->stats.len; k++)
        add_root(ctx, model->evaluate, sym_printf(ctx, "stat.%u", k), x->stats.at[k]);
}

static void make_training(Expander *x, const Body *body) {
    Ctx *ctx = x->ctx;
    if (body->losses.len) x->m->loss = expand_loss(x, body->losses.at[0]);
    if (has_failed(x)) return;
    if (x->m->loss && body->optimizers.len)
        expand_optimizer(x, body->optimizers.at[0]);
    else if (body->optimizers.len)
        diag_error(ctx, body->optimizers.at[0]->span,
                   "there is an optimizer, but no loss for it to make small");
    if (x->m->loss)
        add_root(ctx, x->m, sym(ctx, "loss"), x->m->loss);
    else
        add_outputs(x, body);
    finish_penalties(x);
    x->model->train = x->m;
}

static void make_initials(Ctx *ctx, Program *program, Model *model, const Expander *x) {
    Expander *init = new_expander(ctx, program, NULL, NULL, model->name,
                                  arena_printf(ctx->arena, "model `%s`", model->name));
    expand_initials(init, x);
    model->init = init->m;
}

/* Every parameter must be there in both expansions: one that is not has taken the name of another.
 */
static void check_params(const Model *model, const Expander *evaluation) {
    for (uint32_t i = 0; i < model->params.len; i++) {
        const Tensor *param = model->params.at[i];
        if (map_has(&evaluation->leaves, param->name)) continue;
        diag_error(
            evaluation->ctx, param->span,
            "`%s` is there only while training: what depends on `train` may not decide about "
            "parameters",
            param->name);
    }
}

static Model *expand_model(Ctx *ctx, Program *program, const char *name,
                           const SemaOptions *options) {
    Definition *definition = program_model(ctx, program, name);
    if (!definition) return NULL;
    const Tree *tree = definition->tree;
    Model *model = ARENA_NEW(ctx->arena, Model);
    model->name = definition->name;
    model->span = tree->def.name_span;
    model->tree = tree;
    Body body = sort_statements(ctx, &tree->def.body);
    if (!body.outputs.len && !body.losses.len) {
        Diag *d =
            diag_error(ctx, model->span, "model `%s` gives nothing: it has neither output nor loss",
                       model->name);
        diag_help(ctx, d, "name what callers get: `output y`");
        return NULL;
    }
    Expander *train = expand_body(ctx, program, model, options, &body, NULL);
    make_training(train, &body);
    if (has_failed(train)) {
        /* what is wrong in metrics and outputs is worth knowing in the same run */
        expand_metrics(train, &body.metrics);
        if (!train->m->roots.len) add_outputs(train, &body);
        return NULL;
    }
    Expander *evaluation = expand_body(ctx, program, model, options, &body, train);
    make_evaluation(evaluation, &body);
    if (!has_failed(train)) check_params(model, evaluation);
    if (has_failed(train)) return NULL;
    make_initials(ctx, program, model, train);
    warn_unused(evaluation);
    return has_failed(train) ? NULL : model;
}

Model *sema_model(Ctx *ctx, Program *program, const char *name, const SemaOptions *options) {
    ArenaMark mark = arena_mark(ctx->scratch);
    Model *model = expand_model(ctx, program, name, options);
    arena_release(ctx->scratch, mark);
    return model;
}

/* ---- one expression
 * -------------------------------------------------------------------------------------------- */

static Module *expand_expression(Ctx *ctx, Program *program, const Tree *expression) {
    SemaOptions options = {.max_batch = 1};
    Expander *x = new_expander(ctx, program, NULL, &options, sym(ctx, "it"), "this expression");
    Place place = place_in(x->root, 1);
    place.ranges = infer_ranges(&place, expression, NULL, NULL, NULL, NULL);
    Value v = place.ranges ? eval(&place, expression) : value_error();
    if (v.kind == VALUE_ERROR) return NULL;
    if (value_is_word(&v)) {
        diag_error(ctx, expression->span,
                   v.kind == VALUE_TEXT ? "this is a text; it has no value of its own"
                                        : "this is a function or a layer; call it to see a value");
        return NULL;
    }
    v = define_tensor(&place, "it", v.at, v.rank, v.expr, expression->span, NULL);
    if (v.kind != VALUE_TENSOR) return NULL;
    add_root(ctx, x->m, sym(ctx, "it"), v.tensor);
    return x->m;
}

Module *sema_expression(Ctx *ctx, Program *program, const Tree *expression) {
    ArenaMark mark = arena_mark(ctx->scratch);
    Module *module = expand_expression(ctx, program, expression);
    arena_release(ctx->scratch, mark);
    return module;
}
