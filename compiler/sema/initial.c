/* sema/initial.c: how parameters and states start.
 *
 * in:   what is written behind `~` or, for a state, behind `=`      out: a module of updates
 * fan_in is the number of elements that are summed into one element of the equation that uses the
 * parameter, fan_out the number of elements that one element of what it is multiplied with is fed
 * into. Both are read off the reduction that uses it. An index that shares a subscript with a free
 * one, as the position in the window of a convolution does, counts for both.
 */
#include "sema/private.h"

typedef struct Fans {
    Ctx *ctx;
    const Tensor *param;
    bool found;
    double in, out;
} Fans;

/* ---- fan_in, fan_out
 * ------------------------------------------------------------------------------ */

typedef struct Reads {
    Ctx *ctx;
    const Tensor *param;
    const Expr *own;          /* the read of the parameter */
    Vec(const Expr *) others; /* the other reads */
} Reads;

static void note_read(void *data, const Expr *e) {
    Reads *reads = data;
    if (e->kind != EX_READ) return;
    if (e->read.tensor == reads->param)
        reads->own = e;
    else
        vec_push(reads->ctx->arena, &reads->others, e);
}

static bool is_over(const Expr *reduction, const Index *index) {
    uint32_t n = reduction->kind == EX_REDUCE ? reduction->reduce.nover : reduction->contract.nover;
    Index **over = reduction->kind == EX_REDUCE ? reduction->reduce.over : reduction->contract.over;
    for (uint32_t i = 0; i < n; i++)
        if (over[i] == index) return true;
    return false;
}

/* Does the reduced index stand in a subscript together with one that is not reduced? */
static bool is_window(const Reads *reads, const Expr *reduction, const Index *index) {
    for (uint32_t r = 0; r < reads->others.len; r++) {
        const Expr *read = reads->others.at[r];
        for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
            const Expr *sub = read->read.subs[d];
            bool has_it = false, has_free = false;
            for (uint32_t t = 0; sub->kind == EX_AFFINE && t < sub->affine.nterms; t++) {
                const Expr *atom = sub->affine.terms[t].atom;
                if (atom->kind != EX_INDEX) continue;
                has_it |= atom->index == index;
                has_free |= !is_over(reduction, atom->index);
            }
            if (has_it && has_free) return true;
        }
    }
    return false;
}

static void look_at(void *data, const Expr *e) {
    Fans *fans = data;
    bool sums = e->kind == EX_CONTRACT || (e->kind == EX_REDUCE && e->reduce.op == REDUCE_SUM);
    if (fans->found || !sums) return;
    Reads reads = {.ctx = fans->ctx, .param = fans->param};
    ir_visit(fans->ctx, e, note_read, &reads);
    if (!reads.own) return;
    double in = 1, out = 1;
    for (uint32_t d = 0; d < fans->param->rank; d++) {
        const Expr *sub = reads.own->read.subs[d];
        bool alone = sub->kind == EX_AFFINE && sub->affine.nterms == 1 &&
                     sub->affine.terms[0].atom->kind == EX_INDEX;
        const Index *index = alone ? sub->affine.terms[0].atom->index : NULL;
        bool over = index && is_over(e, index);
        if (over) in *= (double)fans->param->dims[d];
        if (!over || is_window(&reads, e, index)) out *= (double)fans->param->dims[d];
    }
    fans->in = in;
    fans->out = out;
    fans->found = true;
}

/* The reductions that use each parameter are found in one walk over the module. */
static Fans fans_of(Ctx *ctx, const Module *uses, const Tensor *param) {
    Fans fans = {.ctx = ctx, .param = param, .in = 1, .out = 1};
    for (uint32_t i = 0; i < uses->equations.len && !fans.found; i++)
        if (ir_uses_tensor(uses->equations.at[i]->body, param))
            ir_visit(ctx, uses->equations.at[i]->body, look_at, &fans);
    if (fans.found) return fans;
    for (uint32_t d = 0; d < param->rank; d++) {
        if (d == 0 && param->rank > 1)
            fans.out *= (double)param->dims[d];
        else
            fans.in *= (double)param->dims[d];
    }
    return fans;
}

/* ---- values
 * ----------------------------------------------------------------------------------------- */

/* Gives the value to the tensor: a number to every element. */
static void set_initial(Expander *init, const Place *p, Tensor *tensor, Value v, Span span) {
    Ctx *ctx = init->ctx;
    if (v.kind == VALUE_ERROR) return;
    bool same = v.kind == VALUE_TENSOR && (v.rank == 0 || v.rank == tensor->rank) &&
                v.expr->type != TY_BOOL;
    for (uint32_t d = 0; same && d < v.rank; d++) same = v.at[d]->extent == tensor->dims[d];
    if (!same) {
        diag_error(ctx, span, "the initial value is %s, and `%s` has another shape",
                   value_shape(ctx, &v), tensor->name);
        return;
    }
    Index **at = v.rank ? v.at : ir_free_indices(ctx, tensor, NULL);
    if (v.rank != tensor->rank || !v.tensor || v.tensor->classes) {
        const char *name = arena_printf(ctx->arena, "init.%s", tensor->name);
        v = define_tensor(p, name, at, tensor->rank, ir_real(ctx, v.expr), span, NULL);
        if (v.kind != VALUE_TENSOR) return;
    }
    ir_use_tensor(ctx, init->m, tensor);
    Update update = {tensor, v.tensor};
    vec_push(ctx->arena, &init->m->updates, update);
}

static Definition *find_init(Expander *init, const Tree *callee) {
    Ctx *ctx = init->ctx;
    if (callee->kind == T_NAME) {
        Definition *found =
            program_find(ctx, init->program, SPACE_INIT, callee->name, callee->span);
        if (found) return found;
        Diag *d = diag_error(ctx, callee->span, "there is no initialiser `%s`", callee->name);
        const char *near = program_nearest(ctx, init->program, SPACE_INIT, callee->name, NULL, 0);
        if (near) diag_help(ctx, d, "did you mean `%s`?", near);
    } else if (callee->kind != T_ERROR) {
        diag_error(ctx, callee->span, "here the name of an initialiser is wanted");
    }
    return NULL;
}

static void init_param(Expander *init, const Initial *initial, const Module *uses) {
    Ctx *ctx = init->ctx;
    const Tree *call = initial->tree, *callee = call->kind == T_CALL ? call->call.callee : call;
    Definition *definition = find_init(init, callee);
    if (!definition) return;
    Place outside = place_in(initial->scope, *initial->scope->position + 1);
    outside.batch = NULL;
    Arguments args = {0};
    Argument tensor = {NULL, callee->span, value_tensor(ctx, initial->tensor, 0, NULL)};
    vec_push(ctx->arena, &args, tensor);
    if (call->kind == T_CALL) {
        Arguments written = eval_arguments(&outside, &call->call.args);
        for (uint32_t i = 0; i < written.len; i++) vec_push(ctx->arena, &args, written.at[i]);
    }
    Place place = place_in(init->root, 1);
    if (!enter_call(&place, definition, call->span)) return;
    const char *path = arena_printf(ctx->arena, "init.%s.", initial->tensor->name);
    Scope *scope = bind_arguments(&place, definition, &args, call->span, path);
    if (scope) {
        Fans fans = fans_of(ctx, uses, initial->tensor);
        scope_bind(scope, sym(ctx, "fan_in"), call->span, value_of(ir_number(ctx, fans.in)));
        scope_bind(scope, sym(ctx, "fan_out"), call->span, value_of(ir_number(ctx, fans.out)));
        Value v = run_body(&place, definition, scope);
        set_initial(init, &place, initial->tensor, v, call->span);
    }
    leave_call(init);
}

static void init_state(Expander *init, const Initial *initial) {
    Place outside = place_in(initial->scope, *initial->scope->position + 1);
    outside.batch = NULL;
    Place place = place_in(init->root, 1);
    Value v = eval(&outside, initial->tree);
    if (v.kind == VALUE_TENSOR && !value_is_constant(&v)) {
        diag_error(init->ctx, initial->tree->span,
                   "a state starts with a number that is known when the model is compiled");
        return;
    }
    set_initial(init, &place, initial->tensor, v, initial->tree->span);
}

void expand_initials(Expander *init, const Expander *x) {
    for (uint32_t i = 0; i < x->initials.len; i++) {
        const Initial *initial = &x->initials.at[i];
        if (initial->tensor->kind == TENSOR_PARAM)
            init_param(init, initial, x->m);
        else
            init_state(init, initial);
    }
}
