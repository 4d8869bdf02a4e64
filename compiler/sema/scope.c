/* sema/scope.c: the statements of a body: names and what they stand for.
 *
 * The equations of a body are a set: a name may be used above the line that defines it, so each is
 * evaluated when it is first needed. A name that a `repeat` assigns again has several versions;
 * which one is meant depends on where it is used.
 */
#include "sema/private.h"

enum { MAX_TURNS = 10000, MAX_WAITING = 400 };

static Scope *body_of(const Scope *scope) {
    while (scope->up) scope = scope->up;
    return (Scope *)scope;
}

Scope *scope_new(Expander *x, Scope *up, const char *path, const char *owner, bool is_library) {
    Arena *a = x->ctx->scratch;
    Scope *s = ARENA_NEW(a, Scope);
    if (up) {
        *s = *up;
        s->names = (Map){0};
        s->up = up;
    } else {
        s->x = x;
        s->owner = owner;
        s->is_library = is_library;
        s->instances = ARENA_NEW(a, Instances);
        s->position = ARENA_NEW(a, uint32_t);
    }
    s->path = path;
    return s;
}

Place place_in(Scope *scope, uint32_t position) {
    return (Place){.x = scope->x, .scope = scope, .position = position, .batch = scope->batch};
}

/* ---- instances ------------------------------------------------------------------------------ */

static bool take_instance(const Scope *scope, Sym path) {
    Map *taken = &scope->instances->taken;
    if (map_has(taken, path)) return false;
    map_set(scope->x->ctx->scratch, taken, path, (void *)path);
    return true;
}

const char *scope_instance(const Scope *scope, Sym name) {
    Ctx *ctx = scope->x->ctx;
    Map *counters = &scope->instances->counters;
    const char *prefix = body_of(scope)->path;
    uintptr_t number = (uintptr_t)map_get(counters, name);
    Sym path;
    do path = sym_printf(ctx, "%s%s%u.", prefix, name, (unsigned)++number);
    while (!take_instance(scope, path));
    map_set(ctx->scratch, counters, name, (void *)number);
    return path;
}

const char *scope_named_instance(const Scope *scope, Sym name) {
    Sym path = sym_printf(scope->x->ctx, "%s%s.", scope->path, name);
    return take_instance(scope, path) ? path : NULL;
}

/* ---- binding
 * ------------------------------------------------------------------------------------- */

static Versions *versions_of(Scope *scope, Sym name) {
    Arena *a = scope->x->ctx->scratch;
    Versions *v = map_get(&scope->names, name);
    if (v) return v;
    v = ARENA_NEW(a, Versions);
    map_set(a, &scope->names, name, v);
    return v;
}

static Versions *known_versions(const Scope *scope, Sym name) {
    for (; scope; scope = scope->up) {
        Versions *v = map_get(&scope->names, name);
        if (v) return v;
    }
    return NULL;
}

static Binding *new_binding(Scope *scope, Sym name, Span span) {
    Binding *b = ARENA_NEW(scope->x->ctx->scratch, Binding);
    *b = (Binding){.name = name, .span = span, .scope = scope, .position = ++*scope->position};
    return b;
}

Binding *scope_bind(Scope *scope, Sym name, Span span, Value value) {
    Binding *b = new_binding(scope, name, span);
    b->state = BINDING_DONE;
    b->value = value;
    vec_push(scope->x->ctx->scratch, &versions_of(scope, name)->all, b);
    return b;
}

bool is_batch_name(Ctx *ctx, Sym name, Span span) {
    if (name != sym(ctx, "batch")) return false;
    diag_error(ctx, span, "`batch` names the index over the examples; this needs another name");
    return true;
}

bool scope_is_free(Scope *scope, Sym name, Span span) {
    Ctx *ctx = scope->x->ctx;
    if (is_batch_name(ctx, name, span)) return false;
    Versions *v = map_get(&scope->names, name);
    if (!v) return true;
    Diag *d = diag_error(ctx, span, "`%s` is defined twice", name);
    diag_note(ctx, d, v->all.at[0]->span, "first defined here");
    return false;
}

Binding *scope_find(const Scope *scope, Sym name, uint32_t position) {
    Versions *v = known_versions(scope, name);
    if (!v) return NULL;
    if (!v->is_carried) return v->all.at[0];
    Binding *found = v->all.at[0];
    for (uint32_t i = 1; i < v->all.len; i++)
        if (v->all.at[i]->position < position) found = v->all.at[i];
    return found;
}

void scope_names(const Scope *scope, Ctx *ctx, Names *names) {
    for (; scope; scope = scope->up)
        for (uint32_t i = 0; i < scope->names.len; i++)
            vec_push(ctx->arena, names, (const char *)scope->names.entries[i].key);
}

/* ---- statements
 * --------------------------------------------------------------------------------------- */

/* The state that a name stands for, or NULL. */
static Binding *state_of(const Versions *versions) {
    Binding *first = versions ? versions->all.at[0] : NULL;
    return first && first->updates && !first->tree ? first : NULL;
}

/* A state is given its new value once, beside its declaration. */
static bool may_update(Scope *scope, const Binding *state, bool is_outside, const Tree *tree) {
    Ctx *ctx = scope->x->ctx;
    Span span = tree->equation.name_span;
    if (is_outside) {
        Diag *d = diag_error(ctx, span, "the state `%s` gets its new value outside of the `repeat`",
                             state->name);
        diag_help(ctx, d, "carry another name through the turns and say `%s = …` behind them",
                  state->name);
    } else if (state->update) {
        Diag *d = diag_error(ctx, span, "the state `%s` gets its new value twice", state->name);
        diag_note(ctx, d, state->update->span, "first here");
    } else {
        return true;
    }
    return false;
}

static void enter_equation(const Place *p, const Tree *tree) {
    Scope *scope = p->scope;
    Ctx *ctx = scope->x->ctx;
    Sym name = tree->equation.name;
    Versions *here = map_get(&scope->names, name),
             *outside = scope->up ? known_versions(scope->up, name) : NULL;
    Binding *state = state_of(here ? here : outside);
    if (is_batch_name(ctx, name, tree->equation.name_span)) return;
    if (state ? !may_update(scope, state, !here, tree)
              : here && !scope_is_free(scope, name, tree->equation.name_span))
        return;
    Binding *b = new_binding(scope, name, tree->equation.name_span);
    b->tree = tree;
    b->is_output = tree->equation.is_output;
    if (state) {
        b->updates = state->updates;
        state->update = b;
    } else {
        Versions *v = outside ? outside : versions_of(scope, name);
        v->is_carried = outside != NULL;
        vec_push(ctx->scratch, &v->all, b);
        body_of(scope)->last = b;
    }
    vec_push(ctx->scratch, &body_of(scope)->bindings, b);
}

static void enter_size(const Place *p, const Tree *tree) {
    Scope *scope = p->scope;
    if (!scope_is_free(scope, tree->named.name, tree->named.name_span)) return;
    Binding *b = new_binding(scope, tree->named.name, tree->named.name_span);
    b->tree = tree;
    vec_push(scope->x->ctx->scratch, &versions_of(scope, b->name)->all, b);
    vec_push(scope->x->ctx->scratch, &body_of(scope)->bindings, b);
}

static bool is_true(const Value *v) {
    return value_is_constant(v) && v->expr->kind == EX_TRUTH && v->expr->truth;
}

static void enter_repeat(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    int64_t turns;
    if (!eval_size(p, tree->repeat.count, "the count of a `repeat`", &turns)) return;
    if (turns < 0 || turns > MAX_TURNS) {
        diag_error(ctx, tree->repeat.count->span, "a `repeat` has 0 to %d turns, not %lld",
                   MAX_TURNS, (long long)turns);
        return;
    }
    for (int64_t turn = 0; turn < turns; turn++) {
        const char *path = scope_instance(p->scope, sym(ctx, "turn"));
        Scope *scope = scope_new(p->x, p->scope, path, NULL, false);
        Place place = place_in(scope, *scope->position);
        scope_enter(&place, &tree->repeat.body);
        if (!has_fuel(p, tree->span) || ctx->diags.errors > DIAG_SHOWN) return;
    }
}

/* What must hold where the layer is used: `require D % heads == 0, "…"`. */
static void enter_require(const Place *p, const Tree *tree) {
    Ctx *ctx = p->x->ctx;
    const Tree *condition = tree->list.items.at[0], *text = tree->list.items.at[1];
    Place place = *p;
    place.ranges = infer_ranges(p, condition, NULL, NULL, NULL, NULL);
    place.is_size = true;
    uint32_t before = ctx->diags.all.len;
    Value v = place.ranges ? eval(&place, condition) : value_error();
    body_of(p->scope)->is_refused = v.kind == VALUE_ERROR || !is_true(&v);
    if (v.kind == VALUE_ERROR) {
        /* What the condition cannot even be asked of. */
        if (ctx->diags.all.len > before)
            diag_help(ctx, ctx->diags.all.at[before], "%s", text->text.value);
    } else if (!value_is_constant(&v) || v.expr->kind != EX_TRUTH) {
        diag_error(
            ctx, condition->span,
            "a `require` asks something that is known when the model is compiled; this is %s",
            value_shape(ctx, &v));
    } else if (!v.expr->truth) {
        Diag *d =
            diag_error(ctx, ctx->diags.calls ? diag_place(ctx, ctx->diags.calls->span) : tree->span,
                       "%s: %s", p->scope->owner, text->text.value);
        diag_note(ctx, d, tree->span, "required here");
    }
}

static void misplaced(const Place *p, const Tree *tree) {
    bool is_model = p->x->root == p->scope;
    if (tree->kind == T_ERROR || is_model) return;
    bool turn = p->scope->up && body_of(p->scope) == p->x->root;
    diag_error(p->x->ctx, tree->span,
               turn ? "`%s` does not stand inside a `repeat`" : "`%s` stands in models only",
               tree->kind == T_EQUATION ? "output" : tree_word(tree->kind));
}

static void enter_statement(const Place *p, const Tree *tree) {
    switch ((int)tree->kind) {
    case T_PARAM: enter_params(p, tree); return;
    case T_STATE: enter_states(p, tree); return;
    case T_SIZE: enter_size(p, tree); return;
    case T_EQUATION:
        if (tree->equation.is_output && p->x->root != p->scope) misplaced(p, tree);
        enter_equation(p, tree);
        return;
    case T_REQUIRE: enter_require(p, tree); return;
    case T_REPEAT: enter_repeat(p, tree); return;
    default: misplaced(p, tree); return;
    }
}

void scope_enter(const Place *p, const TreeList *statements) {
    for (uint32_t i = 0; i < statements->len; i++) {
        Place place = *p;
        place.position = *p->scope->position;
        if (!has_fuel(p, statements->at[i]->span)) return;
        enter_statement(&place, statements->at[i]);
        if (body_of(p->scope)->is_refused) return;
    }
}

void scope_run(Scope *scope) {
    for (uint32_t i = 0; i < scope->bindings.len; i++) {
        Binding *b = scope->bindings.at[i];
        Place place = place_in(b->scope, b->position);
        if (b->state == BINDING_WAITS) binding_value(&place, b, (Span){0, 0});
        if (scope->x->fuel < 0) return;
    }
}

/* ---- evaluation
 * --------------------------------------------------------------------------------------------- */

static Value failed(Binding *b) {
    b->state = BINDING_DONE;
    b->value = value_error();
    return b->value;
}

static void report_cycle(Expander *x, Binding *b, Span from) {
    Text path = text_new(x->ctx->arena);
    uint32_t first = x->running.len;
    while (first > 0 && x->running.at[first - 1] != b) first--;
    for (uint32_t i = first ? first - 1 : 0; i < x->running.len; i++)
        text_printf(&path, "`%s` needs ", x->running.at[i]->name);
    text_printf(&path, "`%s`", b->name);
    Diag *d = diag_error(x->ctx, b->span, "this definition is cyclic: %s", text_string(&path));
    if (from.end) diag_note(x->ctx, d, from, "`%s` is used here", b->name);
    diag_help(x->ctx, d,
              "a recurrence reads itself at an earlier index: `h[t] = … (h[t - 1] else 0)`");
}

/* The shape of an equation with indices, without evaluating it. */
static bool find_shape(Expander *x, Binding *b) {
    if (b->has_shape) return true;
    BindingState before = b->state;
    b->state = BINDING_SHAPES;
    vec_push(x->ctx->scratch, &x->running, b);
    Place place = place_in(b->scope, b->position);
    place.binding = b;
    b->ranges = infer_ranges(&place, b->tree->equation.value, &b->tree->equation.subs, b->updates,
                             &b->at, &b->rank);
    b->has_shape = b->ranges != NULL;
    x->running.len--;
    b->state = before;
    if (!b->has_shape && !x->is_incomplete) failed(b);
    x->is_incomplete = false;
    return b->has_shape;
}

static Value eval_with_indices(Place *p, Binding *b) {
    Ctx *ctx = p->x->ctx;
    if (!find_shape(p->x, b)) return value_error();
    const TreeList *left = &b->tree->equation.subs;
    IndexEnv *envs = ARENA_ARRAY(ctx->scratch, IndexEnv, left->len + 1);
    uint32_t d = 0;
    bool names_batch =
        left->len && left->at[0]->kind == T_BINDER && left->at[0]->binder.name == sym(ctx, "batch");
    if (names_batch && p->batch && !b->early) define_early(p, b);
    for (uint32_t i = 0; i < left->len; i++) {
        envs[i] = (IndexEnv){.up = p->indices};
        if (left->at[i]->kind == T_REST) {
            envs[i].rest = b->at + d;
            envs[i].nrest = p->scope->nrest;
            d += p->scope->nrest;
        } else {
            envs[i].name = left->at[i]->binder.name;
            bool batch = i == 0 && envs[i].name == sym(ctx, "batch");
            envs[i].index = batch ? p->batch : b->at[d++];
            if (batch && !p->batch) {
                diag_error(ctx, left->at[i]->span, "nothing here depends on the batch");
                return value_error();
            }
        }
        p->indices = &envs[i];
    }
    p->ranges = b->ranges;
    const Expr *e = eval_scalar(p, b->tree->equation.value);
    if (!e) return value_error();
    const char *name = arena_printf(ctx->arena, "%s%s", p->scope->path, b->name);
    return define_tensor(p, name, b->at, b->rank, e, b->tree->span, b->early ? b : NULL);
}

static Value eval_whole(Place *p, Binding *b) {
    Ctx *ctx = p->x->ctx;
    const char *name = arena_printf(ctx->arena, "%s%s", p->scope->path, b->name);
    p->ranges = infer_ranges(p, b->tree->equation.value, NULL, NULL, NULL, NULL);
    if (!p->ranges) return value_error();
    p->instance = b->name;
    Value v = eval(p, b->tree->equation.value);
    bool fresh = b->is_output || b->updates; /* these need a tensor of their own, constants too */
    if (v.kind != VALUE_TENSOR || v.tensor || (value_is_constant(&v) && !fresh)) return v;
    return define_tensor(p, name, v.at, v.rank, v.expr, b->tree->span, NULL);
}

static void update_state(const Place *p, Binding *b) {
    Ctx *ctx = p->x->ctx;
    const Value *v = &b->value;
    if (v->kind != VALUE_TENSOR) return;
    Tensor *value = v->tensor;
    bool same = value && v->nhidden == 0 && v->rank == b->updates->rank;
    for (uint32_t d = 0; same && d < v->rank; d++) same = v->at[d]->extent == b->updates->dims[d];
    if (!same) {
        Diag *d =
            diag_error(ctx, b->span, "the new value of the state `%s` is %s%s, and the state is %s",
                       b->name, v->nhidden ? "one for each example, " : "", value_shape(ctx, v),
                       dims_text(ctx, b->updates->dims, b->updates->rank));
        if (v->nhidden) diag_help(ctx, d, "reduce it over the batch: `mean[batch] …`");
        return;
    }
    if (!p->x->train) return;
    Update update = {b->updates, value};
    for (uint32_t i = 0; i < p->x->m->updates.len; i++)
        if (p->x->m->updates.at[i].target == b->updates) {
            p->x->m->updates.at[i] = update; /* of a later call of a shared layer */
            return;
        }
    vec_push(ctx->arena, &p->x->m->updates, update);
}

static Value evaluate(Expander *x, Binding *b) {
    Place place = place_in(b->scope, b->position);
    int64_t size;
    place.binding = b;
    if (b->tree->kind == T_SIZE) {
        place.ranges = infer_ranges(&place, b->tree->named.value, NULL, NULL, NULL, NULL);
        if (!place.ranges || !eval_size(&place, b->tree->named.value, "a `size`", &size))
            return value_error();
        return value_of(ir_int(x->ctx, size));
    }
    return b->tree->equation.has_subs ? eval_with_indices(&place, b) : eval_whole(&place, b);
}

/* Is it running, and can its tensor be made before its equation is known? */
static Value running_value(const Place *p, Binding *b, Span from) {
    if (b->state == BINDING_RUNS && b->has_shape && b->tree->equation.has_subs) {
        if (!b->early) define_early(p, b);
        if (!b->early) return failed(b);
        const Expr **hidden = ARENA_ARRAY(p->x->ctx->scratch, const Expr *, b->nhidden + 1);
        for (uint32_t i = 0; i < b->nhidden; i++)
            hidden[i] = ir_index_value(p->x->ctx, b->hidden[i]);
        return value_tensor(p->x->ctx, b->early, b->nhidden, hidden);
    }
    report_cycle(p->x, b, from);
    return failed(b);
}

Value binding_value(const Place *p, Binding *b, Span from) {
    Expander *x = p->x;
    if (from.end && p->binding != b) b->is_used = true;
    if (b->state == BINDING_DONE) return b->value;
    if (b->state != BINDING_WAITS) return running_value(p, b, from);
    if (x->running.len > MAX_WAITING) {
        diag_error(x->ctx, b->span,
                   "too many definitions wait for later ones: write what is used above its use");
        return failed(b);
    }
    if (b->tree->kind == T_EQUATION && b->tree->equation.has_subs && !find_shape(x, b))
        return b->value;
    b->state = BINDING_RUNS;
    vec_push(x->ctx->scratch, &x->running, b);
    Value v = evaluate(x, b);
    x->running.len--;
    if (b->state == BINDING_DONE && b->value.kind == VALUE_ERROR)
        return b->value; /* a cycle was found */
    b->state = BINDING_DONE;
    b->value = v;
    Place place = place_in(b->scope, b->position);
    if (b->updates) update_state(&place, b);
    return v;
}

bool binding_shape(Expander *x, Binding *b, uint32_t *rank, const int64_t **dims) {
    Index **at = NULL;
    if (b->state == BINDING_WAITS && b->tree) {
        if (b->tree->kind == T_EQUATION && b->tree->equation.has_subs) {
            if (x->running.len > MAX_WAITING || !find_shape(x, b)) return false;
        } else {
            Place place = place_in(b->scope, b->position);
            binding_value(&place, b, (Span){0, 0});
        }
    }
    if (b->has_shape)
        *rank = b->rank, at = b->at;
    else if (b->state == BINDING_DONE && b->value.kind == VALUE_TENSOR)
        *rank = b->value.rank, at = b->value.at;
    else
        return false;
    int64_t *list = ARENA_ARRAY(x->ctx->scratch, int64_t, *rank + 1);
    for (uint32_t d = 0; d < *rank; d++) list[d] = at[d]->extent;
    *dims = list;
    return true;
}
