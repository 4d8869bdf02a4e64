/* sema/element.c: elements of tensors, each proved to lie inside, and random draws. */
#include "sema/private.h"

/* ---- subscripts ------------------------------------------------------------------------------ */

typedef struct Subscripts {
    Vec(const Expr *) at;
    Vec(Span) spans;
    bool failed;
    bool names_batch; /* the first one is `batch` */
} Subscripts;

static void put_subscript(const Place *p, Subscripts *s, const Expr *e, Span span) {
    vec_push(p->x->ctx->scratch, &s->at, e);
    vec_push(p->x->ctx->scratch, &s->spans, span);
}

/* `..`: the indices that it stands for here. */
static void put_rest(const Place *p, Subscripts *s, Span span) {
    Ctx *ctx = p->x->ctx;
    for (const IndexEnv *env = p->indices; env; env = env->up) {
        if (env->name) continue;
        for (uint32_t i = 0; i < env->nrest; i++)
            put_subscript(p, s, ir_index_value(ctx, env->rest[i]), span);
        return;
    }
    if (p->scope->has_rest && p->scope->nrest == 0) return;
    if (p->scope->has_rest)
        diag_error(ctx, span,
                   "`..` is not bound here: write it on the left side, or in a reduction");
    else
        diag_error(ctx, span, "`..` has no meaning here: no parameter of %s has a `..`",
                   p->scope->owner);
    s->failed = true;
}

static void put_value(const Place *p, Subscripts *s, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    Place place = *p;
    place.is_size = true;
    const Expr *e = eval_scalar(&place, tree);
    if (!e) {
        s->failed = true;
        return;
    }
    if (e->type == TY_INT) {
        put_subscript(p, s, e, tree->span);
        return;
    }
    s->failed = true;
    Diag *d =
        diag_error(ctx, tree->span, "a subscript is a whole number, and `%s` is %s",
                   tree_text(ctx, tree), e->type == TY_BOOL ? "a truth value" : "a real number");
    if (e->type == TY_REAL)
        diag_help(ctx, d,
                  "what is used as a subscript is made of indices, sizes and inputs that are "
                  "declared as `class(K)`, by sums, multiples, `/` and `%%`");
}

static Subscripts read_subscripts(const Place *p, const Value *base, const TreeList *subs) {
    Subscripts s = {0};
    for (uint32_t i = 0; i < subs->len; i++) {
        const Tree *sub = subs->at[i];
        bool batch =
            i == 0 && sub->kind == T_NAME && p->batch && sub->name == sym(p->x->ctx, "batch");
        if (batch && base->nhidden && base->tensor->dims[0] == EXTENT_BATCH)
            s.names_batch = true;
        else if (sub->kind == T_REST)
            put_rest(p, &s, sub->span);
        else
            put_value(p, &s, sub);
    }
    return s;
}

/* ---- the proof ---------------------------------------------------------------------------------
 */

const Expr **known_list(const Place *p, uint32_t *n) {
    *n = 0;
    for (const Known *k = p->known; k; k = k->up) ++*n;
    const Expr **list = ARENA_ARRAY(p->x->ctx->scratch, const Expr *, *n + 1);
    uint32_t i = 0;
    for (const Known *k = p->known; k; k = k->up) list[i++] = k->condition;
    return list;
}

enum { MAX_EXAMPLE = 8 };

static void report_outside(const Place *p, const Tree *read, uint32_t d, const Expr *sub,
                           int64_t dim, const Expr *const *known, uint32_t nknown) {
    Ctx *ctx = p->x->ctx;
    Index *indices[MAX_EXAMPLE];
    int64_t values[MAX_EXAMPLE], at = 0;
    int n = ir_outside_example(ctx, sub, dim, known, nknown, indices, values, MAX_EXAMPLE, &at);
    Text when = text_new(ctx->arena);
    for (int i = 0; i < n; i++)
        text_printf(&when, "%s%s = %lld", i ? ", " : " when ", indices[i]->name,
                    (long long)values[i]);
    const char *text = tree_text(ctx, read);
    Diag *e;
    if (n >= 0)
        e = diag_error(ctx, read->span, "`%s` is read at %lld in dimension %u%s, outside 0 .. %lld",
                       text, (long long)at, d + 1, text_string(&when), (long long)dim - 1);
    else
        e = diag_error(ctx, read->span,
                       "`%s` is not proved to stay inside 0 .. %lld in dimension %u", text,
                       (long long)dim - 1, d + 1);
    diag_help(ctx, e, "say what it means outside, `(%s else 0)`, or give the index a smaller range",
              text);
}

static bool prove(const Place *p, const Tree *read, const Value *base, const Subscripts *s) {
    uint32_t nknown;
    const Expr **known = known_list(p, &nknown);
    bool good = true;
    for (uint32_t d = 0; d < base->rank; d++) {
        if (ir_inside(p->x->ctx, s->at.at[d], base->at[d]->extent, known, nknown)) continue;
        report_outside(p, read, d, s->at.at[d], base->at[d]->extent, known, nknown);
        good = false;
    }
    return good;
}

/* ---- elements
 * ------------------------------------------------------------------------------------ */

const Expr *element_at(Ctx *ctx, const Value *v, const Expr *const *subs) {
    Map at = {0};
    for (uint32_t d = 0; d < v->rank; d++) map_set(ctx->scratch, &at, v->at[d], (void *)subs[d]);
    return ir_substitute(ctx, v->expr, &at);
}

bool has_elements(const Place *p, const Tree *base, const Value *v) {
    if (!value_is_word(v)) return v->kind != VALUE_ERROR;
    diag_error(p->x->ctx, base->span,
               v->kind == VALUE_TEXT ? "`%s` is a text, it has no elements"
                                     : "`%s` is called with ( ), it has no elements",
               tree_text(p->x->ctx, base));
    return false;
}

static Value base_of(const Place *p, const Tree *indexed) {
    Value v;
    if (range_value(p->ranges, indexed->indexed.base, &v))
        v = value_here(p, v);
    else
        v = eval(p, indexed->indexed.base);
    if (!has_elements(p, indexed->indexed.base, &v)) return value_error();
    if (v.rank == 0) return v;
    return materialise(p, v, "t", indexed->indexed.base->span);
}

void report_count(Ctx *ctx, const Tree *indexed, uint32_t rank, const char *shape, uint32_t given) {
    const char *text = tree_text(ctx, indexed->indexed.base);
    if (rank == 0)
        diag_error(ctx, indexed->span, "`%s` is a single number and has no subscripts", text);
    else
        diag_error(ctx, indexed->span, "`%s` is %s and takes %u subscript%s, not %u", text, shape,
                   rank, rank == 1 ? "" : "s", given);
}

static bool check_count(const Place *p, const Tree *indexed, const Value *base,
                        const Subscripts *s) {
    if (s->failed || s->at.len == base->rank) return !s->failed;
    report_count(p->x->ctx, indexed, base->rank, value_shape(p->x->ctx, base), s->at.len);
    return false;
}

static Value read_or_else(const Place *p, const Value *base, const Subscripts *s,
                          const Tree *otherwise) {
    Ctx *ctx = p->x->ctx;
    const Expr *outside = eval_scalar(p, otherwise);
    if (!outside) return value_error();
    if (base->rank == 0 || !base->tensor) return value_of(base->expr);
    bool is_recurrence =
        base->tensor->kind == TENSOR_LOCAL && !ir_definition(p->x->m, base->tensor);
    if (outside->type == TY_BOOL && is_recurrence) {
        diag_error(ctx, otherwise->span,
                   "a recurrence is of numbers: write 0 for false, 1 for true, and compare");
        return value_error();
    }
    if ((outside->type == TY_BOOL) != base->is_truth) {
        diag_error(ctx, otherwise->span,
                   base->is_truth ? "the `else` of a truth value is a truth value"
                                  : "the `else` of a number is a number");
        return value_error();
    }
    if (base->is_truth) outside = ir_select(ctx, outside, ir_int(ctx, 1), ir_int(ctx, 0));
    if (base->tensor->classes && outside->type != TY_INT) {
        diag_error(ctx, otherwise->span, "the `else` of a class is a whole number");
        return value_error();
    }
    const Expr **subs = ARENA_ARRAY(ctx->scratch, const Expr *, base->tensor->rank + 1);
    for (uint32_t i = 0; i < base->nhidden; i++) subs[i] = base->hidden[i];
    for (uint32_t i = 0; i < s->at.len; i++) subs[base->nhidden + i] = s->at.at[i];
    const Expr *read = ir_read(ctx, base->tensor, subs, outside);
    const Expr *one[] = {read, ir_int(ctx, 1)};
    return value_of(base->is_truth ? ir_op(ctx, OP_EQ, one) : read);
}

Value eval_element(const Place *p, const Tree *indexed, const Tree *otherwise) {
    Value base = base_of(p, indexed);
    if (base.kind == VALUE_ERROR) return base;
    Subscripts s = read_subscripts(p, &base, &indexed->indexed.subs);
    if (!check_count(p, indexed, &base, &s)) return value_error();
    if (otherwise) return read_or_else(p, &base, &s, otherwise);
    if (!prove(p, indexed, &base, &s)) return value_error();
    return value_of(element_at(p->x->ctx, &base, s.at.at));
}

/* ---- draws
 * ----------------------------------------------------------------------------------------- */

/* A draw differs for each element of its equation and for each value of the indices of the
 * reductions it stands in. Its equation is known only later: see place_draws. */
Value eval_draw(const Place *p, DrawKind kind, Span span) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    const Expr *counter = ir_int(ctx, 0);
    int64_t *points = ARENA_NEW(ctx->scratch, int64_t);
    *points = 1;
    for (const Bound *b = p->bound; b; b = b->up)
        for (uint32_t i = b->n; i-- > 0;) {
            counter = ir_int_add(ctx, counter,
                                 ir_int_scale(ctx, ir_index_value(ctx, b->indices[i]), *points));
            int64_t extent = b->indices[i]->extent == EXTENT_BATCH ? 1 : b->indices[i]->extent;
            if (!__builtin_mul_overflow(*points, extent, points)) continue;
            diag_error(ctx, span, "this would draw more numbers than can be counted");
            return value_error();
        }
    const Expr *draw = ir_draw(ctx, kind, x->next_site++, counter);
    map_set(ctx->scratch, &x->pending, draw, points);
    return value_of(draw);
}

typedef struct Placing {
    Expander *x;
    const Expr *position;
} Placing;

static const Expr *place_draw(void *data, const Expr *e) {
    Placing *placing = data;
    Ctx *ctx = placing->x->ctx;
    if (e->kind != EX_DRAW) return NULL;
    int64_t *points = map_get(&placing->x->pending, e);
    if (!points) return NULL;
    const Expr *base = ir_int_scale(ctx, placing->position, *points);
    return ir_draw(ctx, e->draw.kind, e->draw.site, ir_int_add(ctx, base, e->draw.counter));
}

const Expr *place_draws(Expander *x, const Expr *e, Index *const *free, uint32_t n) {
    if (!x->pending.len || !(e->has & HAS_DRAW)) return e;
    Ctx *ctx = x->ctx;
    const Expr *position = ir_int(ctx, 0);
    int64_t stride = 1;
    for (uint32_t d = n; d-- > 0;) {
        position =
            ir_int_add(ctx, position, ir_int_scale(ctx, ir_index_value(ctx, free[d]), stride));
        stride *= free[d]->extent == EXTENT_BATCH ? 1 : free[d]->extent;
    }
    Placing placing = {x, position};
    return ir_rewrite(ctx, e, place_draw, &placing);
}
