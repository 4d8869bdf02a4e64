/* sema/optimizer.c: the update of every parameter.
 *
 * in:   `optimizer clip_norm(1) -> adam(lr: 1e-3)` and the parameters      out: equations, updates
 * The optimizers of a pipe are done one after the other, and so are the statements of each body:
 * each assignment makes a new version of its name. `w`, `g` and the states are whole tensors of the
 * parameter's shape; what one optimizer makes of `w` and `g` is what the next one finds.
 */
#include "sema/private.h"

typedef struct Assigned {
    Sym name;
    Tensor *target; /* the parameter or the state */
    Binding *last;  /* its newest version */
} Assigned;

/* One optimizer of the pipe. */
typedef struct Stage {
    const Definition *definition;
    Span span;
    Arguments args;
} Stage;
typedef Vec(Stage) Stages;

/* A stage for one parameter. */
typedef struct Step {
    Expander *x;
    const Definition *definition;
    Tensor *param;
    Scope *scope;
    Vec(Assigned) targets; /* w, g, the states */
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

/* The number of the parameter of that name; that of all when there is none. */
static uint32_t find_parameter(const Definition *definition, const char *name) {
    const TreeList *params = &definition->tree->def.params;
    uint32_t i = 0;
    while (i < params->len && strcmp(params->at[i]->decl.name, name) != 0) i++;
    return i;
}

static void unknown_setting(Expander *x, const Stages *stages, const char *name) {
    Ctx *ctx = x->ctx;
    Names names = {0};
    const Definition *last = stages->at[stages->len - 1].definition;
    for (uint32_t s = 0; s < stages->len; s++) {
        const TreeList *params = &stages->at[s].definition->tree->def.params;
        for (uint32_t i = 0; i < params->len; i++)
            vec_push(ctx->arena, &names, params->at[i]->decl.name);
    }
    Diag *d = diag_error(ctx, last->tree->def.name_span,
                         "the optimizer `%s` has no argument `%s` to set", last->name, name);
    const char *near = diag_nearest(name, names.at, names.len);
    if (near) diag_help(ctx, d, "did you mean `%s`?", near);
}

/* --set NAME=VALUE replaces an argument, of the optimizer that has it. */
static bool add_setting(Expander *x, const Stages *stages, const Setting *setting) {
    Ctx *ctx = x->ctx;
    Stage *stage = NULL;
    for (uint32_t i = 0; i < stages->len; i++) {
        const Definition *definition = stages->at[i].definition;
        if (find_parameter(definition, setting->name) == definition->tree->def.params.len) continue;
        if (stage) {
            diag_error(ctx, stages->at[i].span, "both `%s` and `%s` have an argument `%s` to set",
                       stage->definition->name, definition->name, setting->name);
            return false;
        }
        stage = &stages->at[i];
    }
    if (!stage) {
        unknown_setting(x, stages, setting->name);
        return false;
    }
    const Tree *tree = stage->definition->tree;
    uint32_t which = find_parameter(stage->definition, setting->name), positional = 0;
    Value value = value_of(ir_number(ctx, setting->value));
    for (uint32_t i = 0; i < stage->args.len; i++) {
        Argument *arg = &stage->args.at[i];
        bool is_it = arg->name ? strcmp(arg->name, setting->name) == 0 : positional++ == which;
        if (!is_it) continue;
        arg->value = value;
        return true;
    }
    Argument argument = {tree->def.params.at[which]->decl.name, tree->def.name_span, value};
    vec_push(ctx->arena, &stage->args, argument);
    return true;
}

static bool add_stage(Expander *x, const Tree *call, Stages *stages) {
    const Definition *definition =
        find_optimizer(x, call->kind == T_CALL ? call->call.callee : call);
    if (!definition) return false;
    Place place = place_in(x->root, *x->root->position + 1);
    place.in_optimizer = true;
    Stage stage = {.definition = definition, .span = call->span};
    if (call->kind == T_CALL) stage.args = eval_arguments(&place, &call->call.args);
    vec_push(x->ctx->arena, stages, stage);
    return true;
}

static bool add_stages(Expander *x, const Tree *tree, Stages *stages) {
    if (tree->kind != T_PIPE) return add_stage(x, tree, stages);
    return add_stages(x, tree->op.a, stages) && add_stage(x, tree->op.b, stages);
}

/* ---- one parameter
 * ------------------------------------------------------------------------------- */

static void add_target(Step *s, Sym name, Tensor *target, Value value) {
    Assigned assigned = {name, target, NULL};
    scope_bind(s->scope, name, s->definition->tree->def.name_span, value);
    vec_push(s->x->ctx->arena, &s->targets, assigned);
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
    if (state) add_target(s, decl->decl.name, state, value_tensor(ctx, state, 0, NULL));
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

static void add_update(Expander *x, Tensor *target, const Value *value) {
    if (value->kind != VALUE_TENSOR || !value->tensor) return;
    Update update = {target, value->tensor};
    vec_push(x->ctx->arena, &x->m->updates, update);
}

static void declare_gradients(Expander *x) {
    Ctx *ctx = x->ctx;
    for (uint32_t i = 0; i < x->model->params.len; i++) {
        Tensor *param = x->model->params.at[i];
        Tensor *gradient =
            ir_tensor(ctx, x->m, TENSOR_LOCAL, sym_printf(ctx, "grad.%s", param->name), param->rank,
                      param->dims, 0, param->span);
        map_set(ctx->arena, &x->m->gradients, param, gradient);
    }
}

Value optimizer_norm(const Place *p, Span span) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    if (!x->norm) {
        const Expr *sum = ir_number(ctx, 0);
        for (uint32_t i = 0; i < x->model->params.len; i++) {
            Tensor *gradient = map_get(&x->m->gradients, x->model->params.at[i]);
            Value g = value_tensor(ctx, gradient, 0, NULL);
            const Expr *square = ir_mul(ctx, g.expr, g.expr);
            if (g.rank) square = ir_reduce(ctx, REDUCE_SUM, g.at, g.rank, square);
            sum = ir_add(ctx, sum, square);
        }
        Place place = place_in(x->root, *x->root->position + 1);
        x->norm = define_tensor(&place, "grad.norm", NULL, 0, ir_op1(ctx, OP_SQRT, sum), span, NULL)
                      .tensor;
    }
    return x->norm ? value_tensor(ctx, x->norm, 0, NULL) : value_error();
}

/* What the stages before made of the parameter and its gradient. */
typedef struct Flow {
    Value w, g;
    bool moved; /* w was assigned */
} Flow;

static void keep_results(Step *s, Flow *flow) {
    const Binding *w = s->targets.at[0].last, *g = s->targets.at[1].last;
    if (w) flow->w = w->value;
    if (g) flow->g = g->value;
    flow->moved |= w != NULL;
    for (uint32_t i = 2; i < s->targets.len; i++) {
        const Assigned *state = &s->targets.at[i];
        if (state->last) add_update(s->x, state->target, &state->last->value);
    }
}

/* Does an optimizer before have a state of the same name as one of this definition? */
static bool path_is_taken(Expander *x, const Definition *definition, const char *path) {
    const TreeList *body = &definition->tree->def.body;
    for (uint32_t i = 0; i < body->len; i++)
        for (uint32_t k = 0; body->at[i]->kind == T_STATE && k < body->at[i]->list.items.len; k++) {
            const Tree *decl = body->at[i]->list.items.at[k];
            if (decl->kind == T_DECL &&
                map_has(&x->leaves, sym_printf(x->ctx, "%s%s", path, decl->decl.name)))
                return true;
        }
    return false;
}

/* States are "dense1.w.v"; of a second optimizer that has a `v` "dense1.w.sgd2.v". */
static const char *stage_path(Expander *x, const Definition *definition, const Tensor *param) {
    const char *path = arena_printf(x->ctx->arena, "%s.", param->name);
    for (unsigned n = 2; path_is_taken(x, definition, path); n++)
        path = arena_printf(x->ctx->arena, "%s.%s%u.", param->name, definition->name, n);
    return path;
}

static void run_stage(Expander *x, const Stage *stage, Tensor *param, Flow *flow) {
    Ctx *ctx = x->ctx;
    Step s = {.x = x, .definition = stage->definition, .param = param};
    Place place = place_in(x->root, *x->root->position + 1);
    place.in_optimizer = true;
    if (!enter_call(&place, stage->definition, stage->span)) return;
    s.scope = bind_arguments(&place, stage->definition, &stage->args, stage->span,
                             stage_path(x, stage->definition, param));
    if (s.scope) {
        add_target(&s, sym(ctx, "w"), param, flow->w);
        add_target(&s, sym(ctx, "g"), NULL, flow->g);
        scope_bind(s.scope, sym(ctx, "decays"), stage->span, value_of(ir_int(ctx, param->decays)));
        run_statements(&s);
        if (!has_failed(x)) keep_results(&s, flow);
    }
    leave_call(x);
}

static void update_param(Expander *x, const Stages *stages, Tensor *param) {
    Ctx *ctx = x->ctx;
    Flow flow = {.w = value_tensor(ctx, param, 0, NULL),
                 .g = value_tensor(ctx, map_get(&x->m->gradients, param), 0, NULL)};
    for (uint32_t i = 0; i < stages->len && !has_failed(x); i++)
        run_stage(x, &stages->at[i], param, &flow);
    if (has_failed(x)) return;
    const Stage *last = &stages->at[stages->len - 1];
    if (flow.moved)
        add_update(x, param, &flow.w);
    else
        diag_error(ctx, last->definition->tree->def.name_span,
                   "optimizer `%s` never says what becomes of `w`", last->definition->name);
}

/* ---- states that nothing reads
 * ---------------------------------------------------------------------- */

typedef struct Seen {
    Arena *arena;
    Map tensors;
} Seen;

static void note_read(void *data, const Expr *e) {
    Seen *seen = data;
    if (e->kind == EX_READ) map_set(seen->arena, &seen->tensors, e->read.tensor, e->read.tensor);
}

/* Neither new values nor initial ones. */
static void drop_states(Expander *x, const Map *dropped) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->m->updates.len; i++)
        if (!map_has(dropped, x->m->updates.at[i].target))
            x->m->updates.at[n++] = x->m->updates.at[i];
    x->m->updates.len = n;
    n = 0;
    for (uint32_t i = 0; i < x->initials.len; i++)
        if (!map_has(dropped, x->initials.at[i].tensor)) x->initials.at[n++] = x->initials.at[i];
    x->initials.len = n;
}

static void drop_unread_states(Expander *x, uint32_t first) {
    Model *model = x->model;
    Map dropped = {0};
    Seen seen = {.arena = x->ctx->arena};
    for (uint32_t e = 0; e < x->m->equations.len; e++)
        ir_visit(x->ctx, x->m->equations.at[e]->body, note_read, &seen);
    uint32_t n = first;
    for (uint32_t i = first; i < model->states.len; i++) {
        Tensor *state = model->states.at[i];
        if (map_has(&seen.tensors, state))
            model->states.at[n++] = state;
        else
            map_set(x->ctx->arena, &dropped, state, state);
    }
    model->states.len = n;
    drop_states(x, &dropped);
}

void expand_optimizer(Expander *x, const Tree *use) {
    Stages stages = {0};
    declare_gradients(x);
    if (!add_stages(x, use->unary.value, &stages)) return;
    for (uint32_t i = 0; i < x->options->nsettings; i++)
        if (!add_setting(x, &stages, &x->options->settings[i])) return;
    uint32_t first = x->model->states.len;
    x->in_optimizer = true;
    for (uint32_t i = 0; i < x->model->params.len; i++) {
        update_param(x, &stages, x->model->params.at[i]);
        if (has_failed(x)) return;
    }
    drop_unread_states(x, first);
}
