/* sema/ranges.c: the ranges of indices, from the tensors that they run over.
 *
 * An index that stands alone in a dimension of a tensor has that dimension's size. All such places
 * must agree. Where an element has an `else` the index may run further, so such a place counts
 * only when there is no other.
 */
#include "sema/private.h"

enum { UNKNOWN_EXTENT = -2 };

struct Ranges {
    Map extents; /* T_BINDER → int64_t* */
    Map values;  /* bases of elements that are calls → Value*, evaluated once */
};

typedef struct Unknown {
    const struct Unknown *up;
    Sym name;
    bool is_stated; /* `i < n`: nothing to be found out */
    int64_t extent, weak;
    Span span;        /* where the extent was found */
    const char *text; /* of the tensor there */
    bool disagreed;
} Unknown;

typedef struct Walk {
    const Place *p;
    Ranges *ranges;
    Unknown *unknowns; /* innermost first */
    bool has_else;     /* the element looked at has one */
    bool met_running;  /* a tensor was met whose shape is being found out further out */
    bool met_error;    /* something was met that is wrong, and told */
    bool failed;
} Walk;

static void walk(Walk *w, const Tree *tree);

static void walk_part(void *data, const char *role, Tree *part) {
    walk(data, part);
}

static void walk_children(Walk *w, const Tree *tree) {
    Visitor visitor = {walk_part, w};
    tree_children(tree, &visitor);
}

/* ---- one place ----------------------------------------------------------------------------------
 */

static void found_extent(Walk *w, Unknown *u, int64_t extent, Span span, const char *text) {
    if (u->is_stated || u->disagreed) return;
    if (w->has_else) {
        u->weak = extent;
        return;
    }
    if (u->extent == UNKNOWN_EXTENT) {
        u->extent = extent;
        u->span = span;
        u->text = text;
    } else if (u->extent != extent) {
        Diag *d = diag_error(w->p->x->ctx, span,
                             "`%s` runs over %lld values in `%s`, but over %lld in `%s`", u->name,
                             (long long)extent, text, (long long)u->extent, u->text);
        diag_note(w->p->x->ctx, d, u->span, "`%s` has %lld here", u->text, (long long)u->extent);
        diag_help(
            w->p->x->ctx, d,
            "state the range where the index is bound, `%s < …`, if it is meant to be smaller",
            u->name);
        u->disagreed = true;
        w->failed = true;
    }
}

static Unknown *find_unknown(const Walk *w, const Tree *sub) {
    if (sub->kind != T_NAME) return NULL;
    for (Unknown *u = w->unknowns; u; u = (Unknown *)u->up)
        if (u->name == sub->name) return u;
    return NULL;
}

static uint32_t rest_length(const Place *p) {
    for (const IndexEnv *env = p->indices; env; env = env->up)
        if (!env->name) return env->nrest;
    return p->scope->has_rest ? p->scope->nrest : 0;
}

static void match_subscripts(Walk *w, const Tree *indexed, uint32_t rank, const int64_t *dims,
                             bool is_batched) {
    const TreeList *subs = &indexed->indexed.subs;
    const char *text = tree_text(w->p->x->ctx, indexed->indexed.base);
    uint32_t first = 0, d = 0, rests = 0;
    for (uint32_t i = 0; i < subs->len; i++) rests += subs->at[i]->kind == T_REST;
    bool batch = is_batched && subs->len && subs->at[0]->kind == T_NAME &&
                 subs->at[0]->name == sym(w->p->x->ctx, "batch");
    if (batch) first = 1;
    uint32_t rest = rest_length(w->p);
    uint32_t given = subs->len - first - rests + rests * rest;
    if (given != rank) {
        const char *shape = dims_text(w->p->x->ctx, dims, rank);
        report_count(w->p->x->ctx, indexed, rank, shape, given);
        w->failed = true;
        return;
    }
    for (uint32_t i = first; i < subs->len; i++) {
        const Tree *sub = subs->at[i];
        if (sub->kind == T_REST) {
            d += rest;
            continue;
        }
        Unknown *u = find_unknown(w, sub);
        if (u) found_extent(w, u, dims[d], sub->span, text);
        d++;
    }
}

/* ---- what an element is taken of
 * ----------------------------------------------------------------- */

static const int64_t *dims_of_value(Ctx *ctx, const Value *v) {
    int64_t *dims = ARENA_ARRAY(ctx->scratch, int64_t, v->rank + 1);
    for (uint32_t d = 0; d < v->rank; d++) dims[d] = v->at[d]->extent;
    return dims;
}

static bool uses_indices(const Walk *w, const Tree *tree) {
    for (const Unknown *u = w->unknowns; u; u = u->up)
        if (u->name && tree_mentions(tree, u->name)) return true;
    for (const IndexEnv *env = w->p->indices; env; env = env->up)
        if (env->name && tree_mentions(tree, env->name)) return true;
    return false;
}

/* False: not known yet, or an error that evaluating it will report. */
static bool base_dims(Walk *w, const Tree *base, uint32_t *rank, const int64_t **dims,
                      bool *is_batched) {
    const Place *p = w->p;
    Ctx *ctx = p->x->ctx;
    Value v;
    if (base->kind == T_NAME) {
        for (const IndexEnv *env = p->indices; env; env = env->up)
            if (env->name == base->name) return false;
        Binding *b = scope_find(p->scope, base->name, p->position);
        if (!b) {
            v = eval(p, base);
            w->met_error |= !has_elements(p, base, &v);
            return false;
        }
        *is_batched = true;
        w->met_running |= b->state == BINDING_SHAPES && b != w->p->binding;
        if (binding_shape(p->x, b, rank, dims)) return true;
        w->met_error |= b->state == BINDING_DONE && b->value.kind == VALUE_ERROR;
        return false;
    }
    if (uses_indices(w, base)) {
        walk(w, base);
        return false;
    }
    Value *kept = map_get(&w->ranges->values, base);
    if (!kept) {
        Place place = *p;
        place.ranges = w->ranges;
        walk(w, base);
        v = eval(&place, base);
        if (v.kind == VALUE_TENSOR && v.rank) v = materialise(p, v, "t", base->span);
        kept = arena_copy(ctx->scratch, &v, sizeof v);
        map_set(ctx->scratch, &w->ranges->values, base, kept);
    }
    *rank = kept->rank;
    *dims = dims_of_value(ctx, kept);
    *is_batched = kept->nhidden > 0;
    w->met_error |= kept->kind == VALUE_ERROR;
    return kept->kind == VALUE_TENSOR;
}

static void walk_element(Walk *w, const Tree *tree, bool has_else) {
    uint32_t rank;
    const int64_t *dims;
    bool is_batched = false;
    if (base_dims(w, tree->indexed.base, &rank, &dims, &is_batched)) {
        bool outer = w->has_else;
        w->has_else = has_else;
        match_subscripts(w, tree, rank, dims, is_batched);
        w->has_else = outer;
    }
    for (uint32_t i = 0; i < tree->indexed.subs.len; i++) walk(w, tree->indexed.subs.at[i]);
}

/* ---- binders
 * ---------------------------------------------------------------------------------------- */

static void keep_extent(Walk *w, const Tree *binder, int64_t extent) {
    Ctx *ctx = w->p->x->ctx;
    map_set(ctx->scratch, &w->ranges->extents, binder,
            arena_copy(ctx->scratch, &extent, sizeof extent));
}

static bool is_batch(const Walk *w, const Tree *binder) {
    return binder->binder.name == sym(w->p->x->ctx, "batch");
}

static void enter_binder(Walk *w, Unknown *u, const Tree *binder) {
    *u = (Unknown){.up = w->unknowns, .extent = UNKNOWN_EXTENT, .weak = UNKNOWN_EXTENT};
    w->unknowns = u;
    if (binder->kind != T_BINDER) return;
    u->name = binder->binder.name;
    if (binder->binder.over_params || is_batch(w, binder)) {
        u->is_stated = true;
        u->extent = EXTENT_BATCH;
        if (!binder->binder.bound) return;
        diag_error(w->p->x->ctx, binder->span, "`batch` runs over all examples: it has no range");
        w->failed = true;
    } else if (binder->binder.bound) {
        int64_t extent = 1;
        u->is_stated = true;
        if (!eval_size(w->p, binder->binder.bound, "a range", &extent)) w->failed = true;
        if (extent < 1 || extent > INT32_MAX) {
            diag_error(w->p->x->ctx, binder->span,
                       "`%s` would run over %lld values; a range has at least 1 and at most %d",
                       u->name, (long long)extent, INT32_MAX);
            w->failed = true;
            extent = 1;
        }
        u->extent = extent;
    }
}

static void leave_binder(Walk *w, Unknown *u, const Tree *binder) {
    w->unknowns = (Unknown *)u->up;
    if (binder->kind != T_BINDER) return;
    if (u->extent == UNKNOWN_EXTENT) u->extent = u->weak;
    if (u->extent == UNKNOWN_EXTENT && (w->met_running || w->met_error)) {
        w->p->x->is_incomplete = !w->met_error;
        w->failed = true;
        return;
    }
    if (u->extent == UNKNOWN_EXTENT) {
        Diag *d = diag_error(
            w->p->x->ctx, binder->span,
            "the range of `%s` is not known: it stands alone in no dimension of a tensor", u->name);
        diag_help(w->p->x->ctx, d, "state it: `%s < n`", u->name);
        w->failed = true;
        u->extent = 1;
    }
    keep_extent(w, binder, u->extent);
}

static void walk_reduction(Walk *w, const Tree *tree) {
    const TreeList *binders = &tree->reduce.binders;
    Unknown *unknowns = ARENA_ARRAY(w->p->x->ctx->scratch, Unknown, binders->len + 1);
    for (uint32_t i = 0; i < binders->len; i++) enter_binder(w, &unknowns[i], binders->at[i]);
    walk(w, tree->reduce.body);
    for (uint32_t i = binders->len; i-- > 0;) leave_binder(w, &unknowns[i], binders->at[i]);
}

static void walk(Walk *w, const Tree *tree) {
    if (!tree || w->failed) return;
    if (tree->kind == T_INDEXED)
        walk_element(w, tree, false);
    else if (tree->kind == T_ELSE) {
        if (tree->op.a->kind == T_INDEXED) walk_element(w, tree->op.a, true);
        walk(w, tree->op.b);
    } else if (tree->kind == T_REDUCE)
        walk_reduction(w, tree);
    else
        walk_children(w, tree);
}

/* ---- an equation, or an expression
 * ------------------------------------------------------------------- */

static bool is_new_index(const TreeList *left, uint32_t i) {
    for (uint32_t k = 0; k < i; k++)
        if (left->at[k]->kind == T_BINDER && left->at[k]->binder.name == left->at[i]->binder.name)
            return false;
    return true;
}

/* `like`: what the left side's dimensions must be. */
static void seed(Walk *w, Unknown *unknowns, const TreeList *left, const Tensor *like) {
    uint32_t d = 0;
    for (uint32_t i = 0; i < left->len && d < like->rank; i++) {
        if (left->at[i]->kind == T_REST) {
            d += rest_length(w->p);
            continue;
        }
        found_extent(w, &unknowns[i], like->dims[d], left->at[i]->span, like->name);
        d++;
    }
}

static void make_indices(Walk *w, const TreeList *left, Index ***at, uint32_t *rank) {
    const Place *p = w->p;
    Ctx *ctx = p->x->ctx;
    uint32_t n = 0;
    *at = ARENA_ARRAY(ctx->scratch, Index *, left->len * (1 + p->scope->nrest) + 1);
    for (uint32_t i = 0; i < left->len; i++) {
        const Tree *binder = left->at[i];
        if (binder->kind == T_BINDER) {
            int64_t *extent = map_get(&w->ranges->extents, binder);
            if (is_batch(w, binder)) continue;
            (*at)[n++] = ir_index(ctx, binder->binder.name, *extent);
        } else {
            for (uint32_t d = 0; d < p->scope->nrest; d++)
                (*at)[n++] = ir_index(ctx, sym_printf(ctx, "r%u", d), p->scope->rest[d]);
        }
    }
    *rank = n;
}

static bool check_left(const Place *p, const TreeList *left) {
    uint32_t rests = 0;
    for (uint32_t i = 0; i < left->len; i++) {
        const Tree *binder = left->at[i];
        if (binder->kind == T_REST) {
            rests++;
            if (p->scope->has_rest && rests == 1) continue;
            diag_error(p->x->ctx, binder->span,
                       rests > 1 ? "`..` can stand only once on a left side"
                                 : "`..` has no meaning here: no parameter of %s has a `..`",
                       p->scope->owner);
            return false;
        }
        if (binder->kind != T_BINDER) return false;
        if (i > 0 && binder->binder.name == sym(p->x->ctx, "batch")) {
            diag_error(p->x->ctx, binder->span, "`batch` stands first on a left side");
            return false;
        }
        if (!is_new_index(left, i)) {
            diag_error(p->x->ctx, binder->span, "the index `%s` stands twice on the left side",
                       binder->binder.name);
            return false;
        }
    }
    return true;
}

Ranges *infer_ranges(const Place *p, const Tree *expression, const TreeList *left,
                     const Tensor *like, Index ***at, uint32_t *rank) {
    Ctx *ctx = p->x->ctx;
    Walk w = {.p = p, .ranges = ARENA_NEW(ctx->scratch, Ranges)};
    if (p->binding) w.ranges->values = p->binding->values;
    uint32_t n = left ? left->len : 0;
    if (left && !check_left(p, left)) return NULL;
    Unknown *unknowns = ARENA_ARRAY(ctx->scratch, Unknown, n + 1);
    for (uint32_t i = 0; i < n; i++) enter_binder(&w, &unknowns[i], left->at[i]);
    if (left && like) seed(&w, unknowns, left, like);
    walk(&w, expression);
    for (uint32_t i = n; i-- > 0 && !w.failed;) leave_binder(&w, &unknowns[i], left->at[i]);
    if (p->binding) p->binding->values = w.ranges->values;
    if (w.failed) return NULL;
    if (left) make_indices(&w, left, at, rank);
    return w.ranges;
}

bool range_of(const Ranges *ranges, const Tree *binder, int64_t *extent) {
    int64_t *found = ranges ? map_get(&ranges->extents, binder) : NULL;
    if (found) *extent = *found;
    return found != NULL;
}

bool range_value(const Ranges *ranges, const Tree *base, Value *value) {
    Value *kept = ranges ? map_get(&ranges->values, base) : NULL;
    if (kept) *value = *kept;
    return kept != NULL;
}
