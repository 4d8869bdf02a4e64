/* sema/expr.c: expressions to values.
 *
 * A value is an Expr for each element. Operations on whole tensors go element by element; numbers
 * go with every shape. An error is reported once: VALUE_ERROR passes through everything silently.
 */
#include "sema/private.h"

#include <math.h>

/* ---- values ------------------------------------------------------------------------------------
 */

Value value_error(void) {
    return (Value){.kind = VALUE_ERROR};
}

Value value_of(const Expr *scalar) {
    return (Value){.kind = VALUE_TENSOR, .expr = scalar};
}

Value value_callable(const Callable *callable) {
    return (Value){.kind = VALUE_CALLABLE, .callable = callable};
}

/* Under `mean[batch] …` what differs by example is read at the batch index that is bound there. */
Value value_here(const Place *p, Value v) {
    Ctx *ctx = p->x->ctx;
    Index *outer = p->scope->batch;
    if (v.kind != VALUE_TENSOR || !outer || !p->batch || p->batch == outer) return v;
    Map map = {0};
    map_set(ctx->scratch, &map, outer, (void *)ir_index_value(ctx, p->batch));
    v.expr = ir_substitute(ctx, v.expr, &map);
    const Expr **hidden = ARENA_ARRAY(ctx->scratch, const Expr *, v.nhidden + 1);
    for (uint32_t i = 0; i < v.nhidden; i++) hidden[i] = ir_substitute(ctx, v.hidden[i], &map);
    v.hidden = hidden;
    return v;
}

bool value_is_word(const Value *v) {
    return v->kind == VALUE_CALLABLE || v->kind == VALUE_TEXT;
}

bool value_is_constant(const Value *v) {
    int64_t whole;
    return v->kind == VALUE_TENSOR && v->rank == 0 &&
           (v->expr->kind == EX_NUMBER || v->expr->kind == EX_TRUTH ||
            ir_is_constant_int(v->expr, &whole));
}

const char *value_shape(Ctx *ctx, const Value *v) {
    if (v->kind == VALUE_CALLABLE) return "a function";
    if (v->kind == VALUE_TEXT) return arena_printf(ctx->arena, "the text \"%s\"", v->text);
    if (v->kind == VALUE_ERROR) return "an error";
    if (v->rank == 0) return v->expr->type == TY_BOOL ? "a truth value" : "a number";
    Text text = text_new(ctx->arena);
    for (uint32_t d = 0; d < v->rank; d++) {
        text_put(&text, d ? ", " : "[");
        if (v->at[d]->extent == EXTENT_BATCH)
            text_put(&text, "batch");
        else
            text_printf(&text, "%lld", (long long)v->at[d]->extent);
    }
    text_put(&text, "]");
    return text_string(&text);
}

const Expr *number_of(const Place *p, const Value *v, Span span) {
    if (v->kind == VALUE_ERROR) return NULL;
    if (value_is_word(v))
        diag_error(p->x->ctx, span, "this is %s, where a number is wanted",
                   value_shape(p->x->ctx, v));
    else if (v->expr->type == TY_BOOL)
        diag_error(p->x->ctx, span, "this is a truth value, where a number is wanted");
    else
        return v->expr;
    return NULL;
}

const Expr *eval_scalar(const Place *p, const Tree *tree) {
    Value v = eval(p, tree);
    if (v.kind == VALUE_ERROR) return NULL;
    if (v.kind == VALUE_TENSOR && v.rank == 0) return v.expr;
    Ctx *ctx = p->x->ctx;
    const char *text = tree_text(ctx, tree);
    if (value_is_word(&v)) {
        diag_error(ctx, tree->span, "`%s` is %s; here a number is wanted", text,
                   value_shape(ctx, &v));
        return NULL;
    }
    Diag *d = diag_error(ctx, tree->span, "`%s` is a tensor %s; here one number is wanted", text,
                         value_shape(ctx, &v));
    if (tree->kind == T_NAME) diag_help(ctx, d, "say which element: `%s[…]`", tree->name);
    return NULL;
}

bool size_of_value(const Place *p, const Value *v, Span span, const char *what, int64_t *size) {
    Ctx *ctx = p->x->ctx;
    if (v->kind == VALUE_ERROR) return false;
    if (v->kind == VALUE_TENSOR && v->rank == 0) {
        if (ir_is_constant_int(v->expr, size)) return true;
        if (v->expr->kind == EX_NUMBER && v->expr->number == floor(v->expr->number) &&
            fabs(v->expr->number) < 9e15) {
            *size = (int64_t)v->expr->number;
            return true;
        }
        if (v->expr->kind == EX_NUMBER) {
            Text text = text_new(ctx->arena);
            text_number(&text, v->expr->number);
            diag_error(ctx, span, "%s is a whole number, not %s", what, text_string(&text));
            return false;
        }
    }
    diag_error(ctx, span, "%s must be known when the model is compiled; this is %s", what,
               v->kind == VALUE_TENSOR && v->rank == 0 && v->expr->type != TY_BOOL
                   ? "computed from data or indices"
                   : value_shape(ctx, v));
    return false;
}

bool eval_size(const Place *p, const Tree *tree, const char *what, int64_t *size) {
    Place place = *p;
    place.is_size = true;
    Value v = eval(&place, tree);
    return size_of_value(p, &v, tree->span, what, size);
}

/* ---- names
 * ---------------------------------------------------------------------------------------- */

typedef struct Mention {
    Sym name;
    bool found;
} Mention;

static void look_in(void *data, const char *role, Tree *part) {
    Mention *m = data;
    if (m->found) return;
    if (part->kind == T_NAME && part->name == m->name) {
        m->found = true;
        return;
    }
    Visitor visitor = {look_in, m};
    tree_children(part, &visitor);
}

const char *tree_text(Ctx *ctx, const Tree *tree) {
    Text text = text_new(ctx->arena);
    syntax_print_tree(&text, tree);
    return text_string(&text);
}

bool tree_mentions(const Tree *tree, Sym name) {
    Mention m = {.name = name};
    look_in(&m, "", (Tree *)tree);
    return m.found;
}

/* How many steps the training takes, when it is told in steps. */
static Value all_steps(const Place *p, Span span) {
    Ctx *ctx = p->x->ctx;
    int64_t steps = p->x->options->steps;
    if (steps > 0) return value_of(ir_int(ctx, steps));
    Diag *d = diag_error(ctx, span,
                         "`steps`, the number of all training steps, is not known here: the train "
                         "block does not say `steps: …`");
    diag_help(ctx, d, "say so there, or give the number, as in `cosine_decay(1e-3, total: 2000)`");
    return value_error();
}

static Value special_name(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    const char *name = tree->name;
    if (strcmp(name, "train") == 0)
        return (Value){.kind = VALUE_TENSOR, .expr = ir_truth(ctx, p->x->train), .by_mode = true};
    if (strcmp(name, "pi") == 0) return value_of(ir_number(ctx, 3.14159265358979323846));
    if (strcmp(name, "inf") == 0) return value_of(ir_number(ctx, INFINITY));
    if (strcmp(name, "nan") == 0) return value_of(ir_number(ctx, NAN));
    if (strcmp(name, "step") == 0 && p->in_optimizer) return value_of(ir_step(ctx));
    if (strcmp(name, "steps") == 0 && p->in_optimizer) return all_steps(p, tree->span);
    if (strcmp(name, "norm") == 0 && p->in_optimizer) return optimizer_norm(p, tree->span);
    if (strcmp(name, "batch") == 0 && p->batch) return value_of(ir_index_value(ctx, p->batch));
    return value_error();
}

/* What else is defined under the name; NULL: nothing. */
static const char *other_meaning(Ctx *ctx, const Program *program, const Tree *tree) {
    static const struct {
        Space space;
        const char *words;
    } meanings[] = {{SPACE_MODEL, "a model"},
                    {SPACE_DATA, "data"},
                    {SPACE_OPTIMIZER, "an optimizer"},
                    {SPACE_METRIC, "a metric"},
                    {SPACE_INIT, "an initialiser"}};
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (program_find(ctx, program, meanings[i].space, tree->name, tree->span))
            return meanings[i].words;
    return NULL;
}

Value unknown_name(Ctx *ctx, const Program *program, const Tree *tree, Names names) {
    const char *meaning = other_meaning(ctx, program, tree);
    if (meaning) {
        diag_error(ctx, tree->span, "`%s` is %s, not a value or a function", tree->name, meaning);
        return value_error();
    }
    for (int op = 0; op < OPS; op++) vec_push(ctx->arena, &names, op_text((Op)op));
    Diag *d = diag_error(ctx, tree->span, "`%s` is not defined", tree->name);
    const char *near =
        program_nearest(ctx, program, SPACE_FUNCTION, tree->name, names.at, names.len);
    if (near) diag_help(ctx, d, "did you mean `%s`?", near);
    return value_error();
}

static Names visible_names(const Place *p) {
    Ctx *ctx = p->x->ctx;
    Names names = {0};
    scope_names(p->scope, ctx, &names);
    for (const IndexEnv *env = p->indices; env; env = env->up)
        if (env->name) vec_push(ctx->arena, &names, env->name);
    return names;
}

static Value callable_name(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    Definition *definition =
        program_find(ctx, p->x->program, SPACE_FUNCTION, tree->name, tree->span);
    Op op;
    if (definition && definition->tree->kind == T_LAYER)
        return layer_value(p, definition, (Arguments){0}, tree->span);
    if (definition) return value_callable(callable_definition(ctx, definition));
    if (!find_operation(tree->name, &op))
        return unknown_name(ctx, p->x->program, tree, visible_names(p));
    Callable *callable = ARENA_NEW(ctx->scratch, Callable);
    *callable = (Callable){.kind = CALL_OPERATION, .op = op, .span = tree->span};
    return value_callable(callable);
}

static Value eval_name(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    for (const IndexEnv *env = p->indices; env; env = env->up) {
        if (env->name != tree->name) continue;
        return env->value ? *env->value : value_of(ir_index_value(ctx, env->index));
    }
    Binding *b = scope_find(p->scope, tree->name, p->position);
    if (b) return value_here(p, binding_value(p, b, tree->span));
    unsigned errors = p->x->ctx->diags.errors;
    Value v = special_name(p, tree);
    bool is_special = v.kind != VALUE_ERROR || p->x->ctx->diags.errors > errors;
    return is_special ? v : callable_name(p, tree);
}

/* ---- operations
 * ----------------------------------------------------------------------------------- */

static bool wants_truth(Op op, uint32_t argument) {
    return op == OP_AND || op == OP_OR || op == OP_NOT || (op == OP_SELECT && argument == 0);
}

static bool check_operand(const Place *p, Op op, const Value *v, Span span, uint32_t i,
                          const Value *all) {
    Ctx *ctx = p->x->ctx;
    if (v->kind == VALUE_ERROR) return false;
    if (value_is_word(v)) {
        diag_error(ctx, span, "this is %s; `%s` takes numbers", value_shape(ctx, v), op_text(op));
        return false;
    }
    bool is_truth = v->expr->type == TY_BOOL;
    if (wants_truth(op, i) && !is_truth) {
        Diag *d = diag_error(ctx, span, "a number is no condition: here a truth value is wanted");
        diag_help(ctx, d, "compare it: `… > 0`");
        return false;
    }
    if (op == OP_SELECT && i > 0 &&
        is_truth != (all[1].kind == VALUE_TENSOR && all[1].expr->type == TY_BOOL)) {
        diag_error(ctx, span, "both sides of an `if` are numbers, or both are truth values");
        return false;
    }
    if (op != OP_SELECT && !wants_truth(op, i) && is_truth) {
        diag_error(ctx, span, "this is a truth value, where `%s` wants a number", op_text(op));
        return false;
    }
    return true;
}

/* All tensors among the operands must have one shape: the first of them gives it. */
static bool same_shapes(const Place *p, Op op, Span span, const Value *args, uint32_t n,
                        const Value **shape) {
    *shape = NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (args[i].rank == 0) continue;
        if (!*shape) {
            *shape = &args[i];
            continue;
        }
        bool same = args[i].rank == (*shape)->rank;
        for (uint32_t d = 0; same && d < args[i].rank; d++)
            same = args[i].at[d]->extent == (*shape)->at[d]->extent;
        if (same) continue;
        Ctx *ctx = p->x->ctx;
        Diag *d = diag_error(ctx, span, "the tensors have different shapes, %s and %s",
                             value_shape(ctx, *shape), value_shape(ctx, &args[i]));
        diag_help(ctx, d, "write the elements, as in `c[i, j] = a[i, j] %s b[j]`",
                  op_arity(op) == 2 ? op_text(op) : "+");
        return false;
    }
    return true;
}

Value apply(const Place *p, Op op, Span span, const Value *args, const Span *spans, uint32_t n) {
    Ctx *ctx = p->x->ctx;
    for (uint32_t i = 0; i < n; i++)
        if (!check_operand(p, op, &args[i], spans[i], i, args)) return value_error();
    const Value *shape;
    if (!same_shapes(p, op, span, args, n, &shape)) return value_error();
    const Expr *list[3] = {NULL, NULL, NULL};
    const Expr **subs = shape ? ARENA_ARRAY(ctx->scratch, const Expr *, shape->rank + 1) : NULL;
    for (uint32_t d = 0; shape && d < shape->rank; d++) subs[d] = ir_index_value(ctx, shape->at[d]);
    for (uint32_t i = 0; i < n; i++)
        list[i] =
            args[i].rank && &args[i] != shape ? element_at(ctx, &args[i], subs) : args[i].expr;
    Value v = value_of(ir_op(ctx, op, list));
    if (shape) v.rank = shape->rank, v.at = shape->at;
    for (uint32_t i = 0; i < n; i++) v.by_mode |= args[i].by_mode;
    return v;
}

static const Op binary_ops[] = {[OPR_ADD] = OP_ADD, [OPR_SUB] = OP_SUB, [OPR_MUL] = OP_MUL,
                                [OPR_DIV] = OP_DIV, [OPR_POW] = OP_POW, [OPR_EQ] = OP_EQ,
                                [OPR_NE] = OP_NE,   [OPR_LT] = OP_LT,   [OPR_LE] = OP_LE,
                                [OPR_GT] = OP_GT,   [OPR_GE] = OP_GE,   [OPR_AND] = OP_AND,
                                [OPR_OR] = OP_OR,   [OPR_NOT] = OP_NOT, [OPR_NEG] = OP_NEG};

/* `/` of sizes, and `%`: of whole numbers by one that is known. */
static Value whole_division(const Place *p, const Tree *tree, const Value *a, const Value *b) {
    Ctx *ctx = p->x->ctx;
    int64_t n;
    if (!ir_is_constant_int(b->expr, &n)) {
        diag_error(ctx, tree->op.b->span,
                   "whole numbers are divided by a number that is known when the "
                   "model is compiled");
        return value_error();
    }
    if (n <= 0) {
        diag_error(ctx, tree->op.b->span, "a whole number cannot be divided by %lld", (long long)n);
        return value_error();
    }
    return value_of(tree->op.op == OPR_DIV ? ir_floordiv(ctx, a->expr, n)
                                           : ir_mod(ctx, a->expr, n));
}

static bool is_whole(const Value *v) {
    return v->kind == VALUE_TENSOR && v->rank == 0 && v->expr->type == TY_INT;
}

/* a^b of whole numbers in a size, where it is a whole number that fits. */
static bool whole_power(Ctx *ctx, const Value *a, const Value *b, Value *out) {
    int64_t base, exponent, result = 1;
    if (!ir_is_constant_int(a->expr, &base) || !ir_is_constant_int(b->expr, &exponent))
        return false;
    if (exponent < 0 || exponent > 63) return false;
    for (int64_t i = 0; i < exponent; i++)
        if (__builtin_mul_overflow(result, base, &result)) return false;
    *out = value_of(ir_int(ctx, result));
    return true;
}

/* Two texts are equal or not; what is no text equals none. */
static Value compare_texts(Ctx *ctx, Operator op, const Value *a, const Value *b) {
    if (a->kind == VALUE_ERROR || b->kind == VALUE_ERROR) return value_error();
    bool equal = a->kind == b->kind && a->text == b->text;
    return value_of(ir_truth(ctx, equal == (op == OPR_EQ)));
}

/* `false and …`, `true or …`: the right side is not looked at. */
static bool is_decided(Operator op, const Value *left) {
    bool logical = op == OPR_AND || op == OPR_OR;
    return logical && value_is_constant(left) && left->expr->kind == EX_TRUTH &&
           left->expr->truth == (op == OPR_OR);
}

static Value eval_binary(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    Operator op = tree->op.op;
    Value args[2] = {eval(p, tree->op.a)};
    if (is_decided(op, &args[0])) return args[0];
    Place right = *p;
    Known known = {.up = p->known};
    if ((op == OPR_AND || op == OPR_OR) && args[0].kind == VALUE_TENSOR && args[0].rank == 0 &&
        args[0].expr->type == TY_BOOL) {
        known.condition = op == OPR_AND ? args[0].expr : ir_op1(ctx, OP_NOT, args[0].expr);
        right.known = &known;
    }
    args[1] = eval(&right, tree->op.b);
    if ((op == OPR_EQ || op == OPR_NE) &&
        (args[0].kind == VALUE_TEXT || args[1].kind == VALUE_TEXT))
        return compare_texts(ctx, op, &args[0], &args[1]);
    bool whole = is_whole(&args[0]) && is_whole(&args[1]);
    Value power;
    if (whole && ((op == OPR_DIV && p->is_size) || op == OPR_MOD))
        return whole_division(p, tree, &args[0], &args[1]);
    if (whole && op == OPR_POW && p->is_size && whole_power(ctx, &args[0], &args[1], &power))
        return power;
    if (op == OPR_MOD) {
        if (args[0].kind != VALUE_ERROR && args[1].kind != VALUE_ERROR)
            diag_error(ctx, tree->span, "`%%` is the remainder of whole numbers");
        return value_error();
    }
    Span spans[] = {tree->op.a->span, tree->op.b->span};
    return apply(p, binary_ops[op], tree->span, args, spans, 2);
}

static Value eval_unary(const Place *p, const Tree *tree) {
    Value a = eval(p, tree->op.a);
    return apply(p, binary_ops[tree->op.op], tree->span, &a, &tree->op.a->span, 1);
}

/* ---- choices
 * -------------------------------------------------------------------------------------- */

static Value eval_under(const Place *p, const Tree *tree, const Value *condition, bool holds) {
    Place place = *p;
    Known known = {.up = p->known};
    if (condition->rank == 0) {
        known.condition = holds ? condition->expr : ir_op1(p->x->ctx, OP_NOT, condition->expr);
        place.known = &known;
    }
    return eval(&place, tree);
}

/* Where the condition is known only the side that is chosen is looked at. But both sides of a
 * condition on `train`, so that layers get the same numbers and draws the same places in both
 * modes. */
static Value eval_choice(const Place *p, const Tree *tree) {
    Value args[3] = {eval(p, tree->choice.condition)};
    Span spans[] = {tree->choice.condition->span, tree->choice.then->span,
                    tree->choice.otherwise->span};
    if (!check_operand(p, OP_SELECT, &args[0], spans[0], 0, args)) return value_error();
    const Expr *c = args[0].expr;
    bool constant = args[0].rank == 0 && c->kind == EX_TRUTH;
    if (constant && !args[0].by_mode)
        return eval(p, c->truth ? tree->choice.then : tree->choice.otherwise);
    args[1] = eval_under(p, tree->choice.then, &args[0], true);
    args[2] = eval_under(p, tree->choice.otherwise, &args[0], false);
    if (constant && args[1].kind != VALUE_ERROR && args[2].kind != VALUE_ERROR) {
        Value chosen = args[c->truth ? 1 : 2];
        chosen.by_mode = true;
        return chosen;
    }
    return apply(p, OP_SELECT, tree->span, args, spans, 3);
}

/* ---- reductions
 * ------------------------------------------------------------------------------------ */

static const ReduceOp reduce_ops[] = {REDUCE_SUM,  REDUCE_SUM,    REDUCE_MAX,   REDUCE_MIN,
                                      REDUCE_PROD, REDUCE_ARGMAX, REDUCE_ARGMIN};

typedef struct Binders {
    Vec(Index *) all;
    bool has_batch;
} Binders;

static bool bind_one(Place *p, const Tree *binder, IndexEnv *env, Binders *binders) {
    Ctx *ctx = p->x->ctx;
    *env = (IndexEnv){.up = p->indices};
    if (binder->kind == T_REST) {
        if (!p->scope->has_rest) {
            diag_error(ctx, binder->span, "`..` has no meaning here: no parameter of %s has a `..`",
                       p->scope->owner);
            return false;
        }
        env->nrest = p->scope->nrest;
        env->rest = ARENA_ARRAY(ctx->scratch, Index *, env->nrest + 1);
        for (uint32_t d = 0; d < env->nrest; d++) {
            env->rest[d] = ir_index(ctx, sym_printf(ctx, "r%u", d), p->scope->rest[d]);
            vec_push(ctx->scratch, &binders->all, env->rest[d]);
        }
        p->indices = env;
        return true;
    }
    if (binder->kind != T_BINDER) return false;
    int64_t extent;
    env->name = binder->binder.name;
    if (env->name == sym(ctx, "batch")) {
        if (!p->batch || binders->has_batch) {
            diag_error(ctx, binder->span,
                       p->batch ? "`batch` is bound twice" : "nothing here depends on the batch");
            return false;
        }
        extent = EXTENT_BATCH;
        binders->has_batch = true;
    } else if (!range_of(p->ranges, binder, &extent)) {
        return false; /* reported when the ranges were looked for */
    }
    env->index = ir_index(ctx, env->name, extent);
    if (extent == EXTENT_BATCH) p->batch = env->index;
    vec_push(ctx->scratch, &binders->all, env->index);
    p->indices = env;
    return true;
}

static const Expr *mean_of(Ctx *ctx, const Expr *sum, const Binders *binders) {
    double points = 1;
    for (uint32_t i = 0; i < binders->all.len; i++)
        if (binders->all.at[i]->extent != EXTENT_BATCH)
            points *= (double)binders->all.at[i]->extent;
    const Expr *count = ir_number(ctx, points);
    if (binders->has_batch) count = ir_mul(ctx, count, ir_batch(ctx));
    return ir_div(ctx, sum, count);
}

/* `sum[param w] …`: over every element of the parameters that decay. */
static Value eval_over_params(const Place *p, const Tree *tree) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    const TreeList *binders = &tree->reduce.binders;
    if (tree->reduce.word != RED_SUM || binders->len != 1) {
        diag_error(ctx, tree->span, "over parameters there is one reduction: `sum[param w] …`");
        return value_error();
    }
    if (!x->model) {
        diag_error(ctx, tree->span, "there are no parameters here: they belong to models");
        return value_error();
    }
    Penalty *penalty = ARENA_NEW(ctx->scratch, Penalty);
    penalty->tensor = ir_tensor(ctx, x->m, TENSOR_LOCAL, sym(ctx, "penalty"), 0, NULL, 0,
                                diag_place(ctx, tree->span));
    penalty->tree = tree;
    penalty->place = *p;
    penalty->place.known = NULL; /* these two lie on the stack */
    penalty->place.bound = NULL;
    penalty->place.instance = NULL;
    vec_push(ctx->scratch, &x->penalties, penalty);
    return value_tensor(ctx, penalty->tensor, 0, NULL);
}

static const Expr *sum_of_param(const Penalty *penalty, Tensor *param) {
    Expander *x = penalty->place.x;
    Ctx *ctx = x->ctx;
    const Tree *binder = penalty->tree->reduce.binders.at[0], *body = penalty->tree->reduce.body;
    ir_use_tensor(ctx, x->m, param);
    Index **at = ir_free_indices(ctx, param, NULL);
    Value element = value_of(ir_read_at(ctx, param, at));
    IndexEnv *env = ARENA_NEW(ctx->scratch, IndexEnv);
    *env = (IndexEnv){.up = penalty->place.indices,
                      .name = binder->binder.name,
                      .value = arena_copy(ctx->scratch, &element, sizeof element)};
    Place place = penalty->place;
    place.indices = env;
    const Expr *e = eval_scalar(&place, body);
    if (!e || e->type != TY_BOOL)
        return e ? ir_reduce(ctx, REDUCE_SUM, at, param->rank, ir_real(ctx, e)) : NULL;
    diag_error(ctx, body->span, "`sum` takes numbers, and this is a truth value");
    return NULL;
}

void finish_penalties(Expander *x) {
    for (uint32_t k = 0; k < x->penalties.len; k++) {
        const Penalty *penalty = x->penalties.at[k];
        const Expr *sum = ir_number(x->ctx, 0), *one = sum;
        for (uint32_t i = 0; one && i < x->model->params.len; i++) {
            Tensor *param = x->model->params.at[i];
            if (!param->decays) continue;
            one = sum_of_param(penalty, param);
            if (one) sum = ir_add(x->ctx, sum, one);
        }
        if (one) define_number(x, penalty->tensor, sum, penalty->tree->span);
    }
    x->penalties.len = 0;
}

static Value eval_reduction(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    const TreeList *list = &tree->reduce.binders;
    if (list->len && list->at[0]->kind == T_BINDER && list->at[0]->binder.over_params)
        return eval_over_params(p, tree);
    Place place = *p;
    place.is_size = false;
    place.instance = NULL;
    Binders binders = {0};
    IndexEnv *envs = ARENA_ARRAY(ctx->scratch, IndexEnv, list->len + 1);
    for (uint32_t i = 0; i < list->len; i++)
        if (!bind_one(&place, list->at[i], &envs[i], &binders)) return value_error();
    Bound bound = {p->bound, binders.all.at, binders.all.len};
    place.bound = &bound;
    const Expr *body = eval_scalar(&place, tree->reduce.body);
    if (!body) return value_error();
    if (body->type == TY_BOOL) {
        diag_error(ctx, tree->reduce.body->span, "`%s` takes numbers, and this is a truth value",
                   reduce_text(tree->reduce.word));
        return value_error();
    }
    const Expr *e =
        ir_reduce(ctx, reduce_ops[tree->reduce.word], binders.all.at, binders.all.len, body);
    if (tree->reduce.word == RED_MEAN) e = mean_of(ctx, ir_real(ctx, e), &binders);
    if (binders.has_batch && p->x->in_metric) return metric_statistic(p, tree, e);
    return value_of(e);
}

/* ---- everything ------------------------------------------------------------------------------ */

/* Half of what a program is usually given. */
enum { MAX_STACK = 4 << 20 };

/* Definitions that wait for each other, and calls in calls, are evaluated on the machine's stack.
 */
static bool has_stack(const Place *p, Span span) {
    const char *here = __builtin_frame_address(0);
    ptrdiff_t used = p->x->stack - here;
    if (used < MAX_STACK && -used < MAX_STACK) return true;
    diag_error(p->x->ctx, span,
               "this is nested too deeply: write what is used above its use, and shorter");
    p->x->fuel = NO_FUEL;
    return false;
}

bool has_fuel(const Place *p, Span span) {
    if (--p->x->fuel >= 0) return has_stack(p, span);
    if (p->x->fuel == -1)
        diag_error(p->x->ctx, span,
                   "this grows too large: more than %lld expressions after functions and layers "
                   "are expanded",
                   (long long)EXPANSION_FUEL);
    p->x->fuel = NO_FUEL;
    return false;
}

static Value eval_pipe(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    Value a = eval(p, tree->op.a);
    const Tree *to = tree->op.b;
    if (a.kind == VALUE_ERROR) return a;
    if (a.kind == VALUE_CALLABLE) {
        Value b = eval(p, to);
        if (b.kind == VALUE_ERROR) return b;
        if (b.kind != VALUE_CALLABLE) {
            diag_error(ctx, to->span, "`->` leads into a function or a layer; this is %s",
                       value_shape(ctx, &b));
            return value_error();
        }
        Callable *both = ARENA_NEW(ctx->scratch, Callable);
        *both = (Callable){
            .kind = CALL_COMPOSE, .first = a.callable, .second = b.callable, .span = tree->span};
        return value_callable(both);
    }
    Place place = *p;
    place.instance = NULL;
    return eval_call(&place, to, &a, tree->op.a->span);
}

static Value eval_number(Ctx *ctx, const Tree *tree) {
    double value = tree->number.value;
    if (tree->number.is_integer && fabs(value) < 9e15) return value_of(ir_int(ctx, (int64_t)value));
    return value_of(ir_number(ctx, value));
}

static Value eval_kind(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    switch ((int)tree->kind) {
    case T_NUMBER: return eval_number(ctx, tree);
    case T_BOOL: return value_of(ir_truth(ctx, tree->boolean));
    case T_NAME: return eval_name(p, tree);
    case T_INDEXED: return eval_element(p, tree, NULL);
    case T_ELSE: return eval_element(p, tree->op.a, tree->op.b);
    case T_CALL: return eval_call(p, tree, NULL, (Span){0, 0});
    case T_UNARY: return eval_unary(p, tree);
    case T_BINARY: return eval_binary(p, tree);
    case T_IF: return eval_choice(p, tree);
    case T_REDUCE: return eval_reduction(p, tree);
    case T_PIPE: return eval_pipe(p, tree);
    case T_STRING: return (Value){.kind = VALUE_TEXT, .text = sym(ctx, tree->text.value)};
    default: return value_error();
    }
}

/* Every stage walks expressions on the machine's stack; functions of functions make them deep. */
enum { MAX_DEPTH = 1500 };

Value eval(const Place *p, const Tree *tree) {
    if (!has_fuel(p, tree->span)) return value_error();
    Value v = eval_kind(p, tree);
    if (v.kind != VALUE_TENSOR || v.expr->depth <= MAX_DEPTH) return v;
    Diag *d = diag_error(p->x->ctx, tree->span, "what this stands for is nested too deeply");
    diag_help(p->x->ctx, d, "give parts of it names of their own: `h = …`");
    return value_error();
}
