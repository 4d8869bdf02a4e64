/* sema/optimizer.c: the update of every parameter.
 *
 * in:   `optimizer adam(lr: 1e-3)` and the parameters      out: equations and updates
 * The body of an optimizer is done in order: each assignment makes a new version of its name. `w`,
 * `g` and the states are whole tensors of the parameter's shape.
 */
#include "sema/private.h"

typedef struct Assigned {
    Sym name;
    Tensor *target; /* the parameter or the state */
    Binding *last;  /* its newest version */
} Assigned;

typedef struct Step {
    Expander *x;
    const Definition *definition;
    Tensor *param;
    Scope *scope;
    Vec(Assigned) targets;
} Step;

/* ---- the call
 * ------------------------------------------------------------------------------------ */

static Definition *find_optimizer(Expander *x, const Tree *callee) {
    Ctx *ctx = x->ctx;
    if (callee->kind != T_NAME) {
        if (callee->kind != T_ERROR)
            diag_error(ctx, callee->span, "here the name of an optimizer is wanted");
        return NULL;
    }
    Definition *found = program_find(ctx, x->program, SPACE_OPTIMIZER, callee->name, callee->span);
    if (found) return found;
    Diag *d = diag_error(ctx, callee->span, "there is no optimizer `%s`", callee->name);
    const char *near = program_nearest(ctx, x->program, SPACE_OPTIMIZER, callee->name, NULL, 0);
    if (near) diag_help(ctx, d, "did you mean `%s`?", near);
    return NULL;
}

/* --set NAME=VALUE replaces an argument. */
static bool add_setting(Expander *x, const Definition *definition, const Setting *setting,
                        Arguments *args) {
    Ctx *ctx = x->ctx;
    const TreeList *params = &definition->tree->def.params;
    Names names = {0};
    uint32_t which = params->len, positional = 0;
    for (uint32_t i = 0; i < params->len; i++) {
        vec_push(ctx->arena, &names, params->at[i]->decl.name);
        if (strcmp(params->at[i]->decl.name, setting->name) == 0) which = i;
    }
    if (which == params->len) {
        Diag *d = diag_error(ctx, definition->tree->def.name_span,
                             "the optimizer `%s` has no argument `%s` to set", definition->name,
                             setting->name);
        const char *near = diag_nearest(setting->name, names.at, names.len);
        if (near) diag_help(ctx, d, "did you mean `%s`?", near);
        return false;
    }
    Value value = value_of(ir_number(ctx, setting->value));
    for (uint32_t i = 0; i < args->len; i++) {
        Argument *arg = &args->at[i];
        bool is_it = arg->name ? strcmp(arg->name, setting->name) == 0 : positional++ == which;
        if (!is_it) continue;
        arg->value = value;
        return true;
    }
    Argument argument = {params->at[which]->decl.name, definition->tree->def.name_span, value};
    vec_push(ctx->arena, args, argument);
    return true;
}

/* ---- one parameter
 * ------------------------------------------------------------------------------- */

static void add_target(Step *s, Sym name, Tensor *target) {
    Ctx *ctx = s->x->ctx;
    Assigned assigned = {name, target, NULL};
    scope_bind(s->scope, name, target->span, value_tensor(ctx, target, 0, NULL));
    vec_push(ctx->arena, &s->targets, assigned);
}

/* Of the parameter's shape, and named after it: "dense1.w.m". */
static void declare_state(Step *s, const Tree *decl) {
    Ctx *ctx = s->x->ctx;
    if (decl->kind != T_DECL) return;
    if (decl->decl.has_dims) {
        diag_error(ctx, decl->span,
                   "the state of an optimizer has the shape of the parameter: no dimensions here");
        return;
    }
    if (scope_find(s->scope, decl->decl.name, 0)) {
        diag_error(ctx, decl->span, "`%s` is defined twice", decl->decl.name);
        return;
    }
    Place place = place_in(s->scope, 0);
    Tensor *state =
        declare_leaf(&place, TENSOR_STATE, decl, decl->decl.value, s->param->dims, s->param->rank);
    if (state) add_target(s, decl->decl.name, state);
}

/* States are finite: 0 times one is 0, so that momentum 0 needs no state. */
static const Expr *zero_times_state(void *data, const Expr *e) {
    Ctx *ctx = data;
    if (e->kind != EX_OP || e->op.op != OP_MUL) return NULL;
    for (int i = 0; i < 2; i++) {
        const Expr *other = e->op.args[!i];
        bool is_state = other->kind == EX_READ && other->read.tensor->kind == TENSOR_STATE;
        if (ir_is_number(e->op.args[i], 0) && is_state) return ir_number(ctx, 0);
    }
    return NULL;
}

static void assign(Step *s, const Tree *tree) {
    Expander *x = s->x;
    Ctx *ctx = x->ctx;
    if (tree->equation.has_subs) {
        diag_error(
            ctx, tree->span,
            "an optimizer says what happens to every element: no subscripts on the left side");
        return;
    }
    Place place = place_in(s->scope, *s->scope->position + 1);
    place.in_optimizer = true;
    place.ranges = infer_ranges(&place, tree->equation.value, NULL, NULL, NULL, NULL);
    Value v = place.ranges ? eval(&place, tree->equation.value) : value_error();
    Sym name = tree->equation.name;
    bool is_target = false;
    for (uint32_t i = 0; i < s->targets.len; i++) is_target |= s->targets.at[i].name == name;
    bool shaped = v.kind == VALUE_TENSOR && (v.rank == 0 || v.rank == s->param->rank);
    if (v.kind == VALUE_TENSOR && (v.expr->type == TY_BOOL || !shaped)) {
        diag_error(ctx, tree->span,
                   "`%s` would be %s; in an optimizer everything is a number for each element",
                   name, value_shape(ctx, &v));
        return;
    }
    if (v.kind == VALUE_TENSOR && (is_target || !value_is_constant(&v))) {
        Index **at = v.rank || !is_target ? v.at : ir_free_indices(ctx, s->param, NULL);
        uint32_t rank = v.rank || !is_target ? v.rank : s->param->rank;
        const Expr *e = ir_rewrite(ctx, ir_real(ctx, v.expr), zero_times_state, ctx);
        const char *full = arena_printf(ctx->arena, "%s%s.next", s->scope->path, name);
        v = define_tensor(&place, full, at, rank, e, tree->span, NULL);
    }
    Binding *b = scope_bind(s->scope, name, tree->equation.name_span, v);
    Versions *versions = map_get(&s->scope->names, name);
    versions->is_carried = true;
    for (uint32_t i = 0; i < s->targets.len; i++)
        if (s->targets.at[i].name == name) s->targets.at[i].last = b;
}

static void run_statements(Step *s) {
    const TreeList *body = &s->definition->tree->def.body;
    for (uint32_t i = 0; i < body->len; i++) {
        const Tree *tree = body->at[i];
        if (tree->kind == T_STATE)
            for (uint32_t k = 0; k < tree->list.items.len; k++)
                declare_state(s, tree->list.items.at[k]);
        else if (tree->kind == T_EQUATION)
            assign(s, tree);
        else if (tree->kind != T_ERROR)
            diag_error(s->x->ctx, tree->span, "an optimizer consists of states and equations");
    }
}

static void add_updates(Step *s) {
    Ctx *ctx = s->x->ctx;
    for (uint32_t i = 0; i < s->targets.len; i++) {
        Assigned *a = &s->targets.at[i];
        if (!a->last || a->last->value.kind != VALUE_TENSOR) continue;
        Update update = {a->target, a->last->value.tensor};
        vec_push(ctx->arena, &s->x->m->updates, update);
    }
    if (!s->targets.at[0].last)
        diag_error(ctx, s->definition->tree->def.name_span,
                   "optimizer `%s` never says what becomes of `w`", s->definition->name);
}

static Tensor *gradient_of(Expander *x, Tensor *param) {
    Ctx *ctx = x->ctx;
    Tensor *gradient = ir_tensor(ctx, x->m, TENSOR_LOCAL, sym_printf(ctx, "grad.%s", param->name),
                                 param->rank, param->dims, 0, param->span);
    map_set(ctx->arena, &x->m->gradients, param, gradient);
    return gradient;
}

static void update_param(Expander *x, const Definition *definition, const Arguments *args,
                         Tensor *param, Span span) {
    Ctx *ctx = x->ctx;
    Step s = {.x = x, .definition = definition, .param = param};
    Place place = place_in(x->root, *x->root->position + 1);
    if (!enter_call(&place, definition, span)) return;
    s.scope = bind_arguments(&place, definition, args, span,
                             arena_printf(ctx->arena, "%s.", param->name));
    if (s.scope) {
        add_target(&s, sym(ctx, "w"), param);
        scope_bind(s.scope, sym(ctx, "g"), span, value_tensor(ctx, gradient_of(x, param), 0, NULL));
        scope_bind(s.scope, sym(ctx, "decays"), span, value_of(ir_int(ctx, param->decays)));
        run_statements(&s);
        if (!diag_failed(ctx)) add_updates(&s);
    }
    leave_call(x);
}

/* ---- states that nothing reads
 * ---------------------------------------------------------------------- */

static void drop_state(Expander *x, const Tensor *state) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->m->updates.len; i++)
        if (x->m->updates.at[i].target != state) x->m->updates.at[n++] = x->m->updates.at[i];
    x->m->updates.len = n;
    n = 0;
    for (uint32_t i = 0; i < x->initials.len; i++)
        if (x->initials.at[i].tensor != state) x->initials.at[n++] = x->initials.at[i];
    x->initials.len = n;
}

typedef struct Seen {
    Arena *arena;
    Map tensors;
} Seen;

static void note_read(void *data, const Expr *e) {
    Seen *seen = data;
    if (e->kind == EX_READ) map_set(seen->arena, &seen->tensors, e->read.tensor, e->read.tensor);
}

static void drop_unread_states(Expander *x, uint32_t first) {
    Model *model = x->model;
    Seen seen = {.arena = x->ctx->arena};
    for (uint32_t e = 0; e < x->m->equations.len; e++)
        ir_visit(x->ctx, x->m->equations.at[e]->body, note_read, &seen);
    uint32_t n = first;
    for (uint32_t i = first; i < model->states.len; i++) {
        Tensor *state = model->states.at[i];
        if (map_has(&seen.tensors, state))
            model->states.at[n++] = state;
        else
            drop_state(x, state);
    }
    model->states.len = n;
}

void expand_optimizer(Expander *x, const Tree *use) {
    const Tree *call = use->unary.value;
    const Tree *callee = call->kind == T_CALL ? call->call.callee : call;
    const Definition *definition = find_optimizer(x, callee);
    if (!definition) return;
    Place place = place_in(x->root, *x->root->position + 1);
    place.in_optimizer = true;
    Arguments args = {0};
    if (call->kind == T_CALL) args = eval_arguments(&place, &call->call.args);
    for (uint32_t i = 0; i < x->options->nsettings; i++)
        if (!add_setting(x, definition, &x->options->settings[i], &args)) return;
    uint32_t first = x->model->states.len;
    for (uint32_t i = 0; i < x->model->params.len; i++) {
        update_param(x, definition, &args, x->model->params.at[i], call->span);
        if (diag_failed(x->ctx)) return;
    }
    drop_unread_states(x, first);
}
