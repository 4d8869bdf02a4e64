/* sema/leaves.c: parameters and states.
 *
 * A leaf is declared once: a layer that is shared finds it again by its name, and so does the
 * second expansion of a model, in which it must have the same size.
 */
#include "sema/private.h"

const char *dims_text(Ctx *ctx, const int64_t *dims, uint32_t rank) {
    Text text = text_new(ctx->arena);
    text_put(&text, "[");
    for (uint32_t d = 0; d < rank; d++)
        text_printf(&text, d ? ", %lld" : "%lld", (long long)dims[d]);
    text_put(&text, "]");
    return text_string(&text);
}

/* ---- declaring ------------------------------------------------------------------------------ */

static bool same_dims(const Tensor *tensor, const int64_t *dims, uint32_t rank) {
    return tensor->rank == rank &&
           (rank == 0 || memcmp(tensor->dims, dims, rank * sizeof *dims) == 0);
}

/* The layer is shared and was expanded before: the sizes must be the same. */
static Tensor *shared_leaf(const Place *p, Tensor *first, const int64_t *dims, uint32_t rank,
                           Span span) {
    Ctx *ctx = p->x->ctx;
    if (same_dims(first, dims, rank)) return first;
    const char *dot = strrchr(first->name, '.'), *name = dot ? dot + 1 : first->name;
    Diag *d =
        diag_error(ctx, span, "%s expects %s%s, but `%s` is shared with a call that gave it %s",
                   p->scope->owner, name, dims_text(ctx, dims, rank), name,
                   dims_text(ctx, first->dims, first->rank));
    diag_note(ctx, d, first->span, "`%s` is declared here", name);
    return NULL;
}

/* Outside of training no leaf is new: nothing would give it a value. */
static Tensor *known_leaf(const Place *p, Sym full, const int64_t *dims, uint32_t rank, Span span) {
    Expander *x = p->x;
    Tensor *tensor = map_get(&x->first->leaves, full);
    if (tensor && same_dims(tensor, dims, rank)) {
        ir_use_tensor(x->ctx, x->m, tensor);
        return tensor;
    }
    if (x->in_metric)
        diag_error(x->ctx, span, "a metric has no parameters or states: nothing would train `%s`",
                   full);
    else if (tensor)
        diag_error(x->ctx, span,
                   "`%s` is %s while training and %s otherwise: its size may not depend on `train`",
                   full, dims_text(x->ctx, tensor->dims, tensor->rank),
                   dims_text(x->ctx, dims, rank));
    else
        diag_error(x->ctx, span,
                   "`%s` is not there while training: what depends on `train` may not decide about "
                   "parameters and states",
                   full);
    return NULL;
}

static Tensor *new_leaf(Expander *x, TensorKind kind, Sym full, const int64_t *dims, uint32_t rank,
                        Span span) {
    Ctx *ctx = x->ctx;
    if (!x->model) {
        diag_error(ctx, span,
                   "`%s` cannot be declared here: parameters and states belong to models", full);
        return NULL;
    }
    if (x->in_optimizer && kind == TENSOR_PARAM) {
        diag_error(ctx, span, "an optimizer has no parameters: nothing would train `%s`", full);
        return NULL;
    }
    Tensor *tensor = ir_tensor(ctx, x->m, kind, full, rank, dims, 0, span);
    if (kind == TENSOR_PARAM)
        vec_push(ctx->arena, &x->model->params, tensor);
    else
        vec_push(ctx->arena, &x->model->states, tensor);
    return tensor;
}

/* What is written behind `~` or `=`, with numbers for the arguments: what is printed holds without
 * the names of the layer. */
static void put_number(const Place *p, Text *text, const Tree *tree) {
    Value v = eval(p, tree);
    if (value_is_constant(&v))
        ir_print_expr(text, v.expr);
    else
        syntax_print_tree(text, tree);
}

static const char *initial_text(const Place *p, TensorKind kind, const Tree *tree) {
    Text text = text_new(p->x->ctx->arena);
    if (kind == TENSOR_STATE) {
        put_number(p, &text, tree);
        return text_string(&text);
    }
    const TreeList *args = tree->kind == T_CALL ? &tree->call.args : NULL;
    syntax_print_tree(&text, args ? tree->call.callee : tree);
    for (uint32_t i = 0; args && i < args->len; i++) {
        const Tree *arg = args->at[i];
        if (arg->kind != T_ARG) continue;
        text_put(&text, i ? ", " : "(");
        if (arg->named.name) text_printf(&text, "%s: ", arg->named.name);
        put_number(p, &text, arg->named.value);
    }
    if (args && args->len) text_put(&text, ")");
    return text_string(&text);
}

Tensor *declare_leaf(const Place *p, TensorKind kind, const Tree *decl, const Tree *init,
                     const int64_t *dims, uint32_t rank) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    Sym name = decl->decl.name, full = sym_printf(ctx, "%s%s", p->scope->path, name);
    if (!check_dims(ctx, decl->span, name, dims, rank)) return NULL;
    Tensor *tensor = map_get(&x->leaves, full);
    if (tensor) return shared_leaf(p, tensor, dims, rank, decl->span);
    tensor = x->first ? known_leaf(p, full, dims, rank, decl->span)
                      : new_leaf(x, kind, full, dims, rank, decl->span);
    if (!tensor) return NULL;
    if (!x->first) tensor->init = initial_text(p, kind, init);
    map_set(ctx->arena, &x->leaves, full, tensor);
    Initial initial = {tensor, init, p->scope};
    vec_push(ctx->arena, &x->initials, initial);
    return tensor;
}

/* ---- as statements of a body ---------------------------------------------------------------- */

static bool eval_dims(const Place *p, const TreeList *list, Sym name, int64_t **dims) {
    Ctx *ctx = p->x->ctx;
    *dims = ARENA_ARRAY(ctx->arena, int64_t, list->len + 1);
    for (uint32_t d = 0; d < list->len; d++) {
        const Tree *dim = list->at[d];
        if (dim->kind == T_REST) {
            diag_error(ctx, dim->span, "the dimensions of `%s` are sizes; `..` is none", name);
            return false;
        }
        if (!eval_size(p, dim, arena_printf(ctx->arena, "a dimension of `%s`", name), &(*dims)[d]))
            return false;
        if ((*dims)[d] < 1) {
            diag_error(ctx, dim->span,
                       "dimension %u of `%s%s` would be %lld; it must be at least 1", d + 1,
                       p->scope->path, name, (long long)(*dims)[d]);
            return false;
        }
    }
    return true;
}

/* Does the parameter decay? What is wrong in its attributes is reported, and the parameter is there
 * all the same: its uses are no second mistake. */
static bool eval_decays(const Place *p, const TreeList *attributes) {
    Ctx *ctx = p->x->ctx;
    bool decays = true;
    for (uint32_t i = 0; i < attributes->len; i++) {
        const Tree *arg = attributes->at[i];
        if (arg->kind != T_ARG) continue;
        if (!arg->named.name || strcmp(arg->named.name, "decay") != 0) {
            Diag *d = diag_error(ctx, arg->span, "a parameter has no attribute `%s`",
                                 arg->named.name ? arg->named.name : "");
            diag_help(ctx, d, "there is one: `decay: false`");
            continue;
        }
        Value v = eval(p, arg->named.value);
        if (v.kind == VALUE_ERROR) continue;
        if (value_is_constant(&v) && v.expr->kind == EX_TRUTH)
            decays = v.expr->truth;
        else
            diag_error(ctx, arg->span, "`decay` is `true` or `false`");
    }
    return decays;
}

/* A state that was given its new value already, by an earlier call of a shared layer, is that. */
static Value leaf_value(Expander *x, Tensor *tensor) {
    for (uint32_t i = 0; tensor->kind == TENSOR_STATE && i < x->m->updates.len; i++)
        if (x->m->updates.at[i].target == tensor)
            return value_tensor(x->ctx, x->m->updates.at[i].value, 0, NULL);
    return value_tensor(x->ctx, tensor, 0, NULL);
}

static void enter_leaf(const Place *p, TensorKind kind, const Tree *decl, const Tree *init,
                       bool decays) {
    if (decl->kind != T_DECL || !scope_is_free(p->scope, decl->decl.name, decl->span)) return;
    int64_t *dims;
    Tensor *tensor = NULL;
    if (eval_dims(p, &decl->decl.dims, decl->decl.name, &dims))
        tensor = declare_leaf(p, kind, decl, init, dims, decl->decl.dims.len);
    if (tensor) tensor->decays = decays;
    Value value = tensor ? leaf_value(p->x, tensor) : value_error();
    Binding *b = scope_bind(p->scope, decl->decl.name, decl->span, value);
    if (kind == TENSOR_STATE) b->updates = tensor;
}

void enter_params(const Place *p, const Tree *tree) {
    bool decays = eval_decays(p, &tree->param.attributes);
    for (uint32_t i = 0; i < tree->param.decls.len; i++)
        enter_leaf(p, TENSOR_PARAM, tree->param.decls.at[i], tree->param.init, decays);
}

void enter_states(const Place *p, const Tree *tree) {
    for (uint32_t i = 0; i < tree->list.items.len; i++) {
        const Tree *decl = tree->list.items.at[i];
        enter_leaf(p, TENSOR_STATE, decl, decl->kind == T_DECL ? decl->decl.value : NULL, false);
    }
}
