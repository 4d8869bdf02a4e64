/* syntax/verify.c: asserts the shapes that tree.h documents.
 *
 * A T_ERROR may stand wherever a node may: the parser has reported it.
 */
#include "syntax/private.h"

#include <string.h>

typedef bool Allowed(TreeKind kind);

static bool is_item(TreeKind kind) {
    return kind >= T_IMPORT && kind <= T_TRAIN;
}

static bool is_statement(TreeKind kind) {
    return kind >= T_INPUT && kind <= T_REPEAT;
}

static bool is_data_statement(TreeKind kind) {
    return kind >= T_SOURCE && kind <= T_MISSING;
}

static bool is_expression(TreeKind kind) {
    return kind >= T_NUMBER && kind <= T_PIPE && kind != T_ARG;
}

static bool is_top(TreeKind kind) {
    return is_item(kind) || is_expression(kind);
}

static bool is_decl(TreeKind kind) {
    return kind == T_DECL;
}

static bool is_arg(TreeKind kind) {
    return kind == T_ARG;
}

static bool is_name(TreeKind kind) {
    return kind == T_NAME;
}

static bool is_index(TreeKind kind) {
    return kind == T_BINDER || kind == T_REST;
}

static bool is_subscript(TreeKind kind) {
    return is_expression(kind) || kind == T_REST;
}

static bool is_use(TreeKind kind) {
    return kind == T_NAME || kind == T_CALL;
}

static bool is_optimizer(TreeKind kind) {
    return is_use(kind) || kind == T_PIPE;
}

static bool is_constant(TreeKind kind) {
    return kind == T_NAME || kind == T_NUMBER || kind == T_UNARY;
}

static bool is_column(TreeKind kind) {
    return kind == T_NUMBER || kind == T_STRING || kind == T_RANGE || kind == T_CALL;
}

static bool is_column_end(TreeKind kind) {
    return kind == T_NUMBER || kind == T_STRING;
}

static void check(Ctx *ctx, const Tree *of, const Tree *part, Allowed *allowed) {
    DLC_ASSERT(ctx, part != NULL, of->span);
    DLC_ASSERT(ctx, part->kind == T_ERROR || allowed(part->kind), part->span);
}

static void check_list(Ctx *ctx, const Tree *of, TreeList list, Allowed *allowed) {
    for (uint32_t i = 0; i < list.len; i++) check(ctx, of, list.at[i], allowed);
}

static void check_def(Ctx *ctx, const Tree *tree) {
    bool braces = tree->kind == T_MODEL || tree->kind == T_DATA;
    DLC_ASSERT(ctx, tree->def.name && *tree->def.name, tree->span);
    DLC_ASSERT(ctx, !braces || (!tree->def.params.len && !tree->def.value), tree->span);
    DLC_ASSERT(ctx, !tree->def.value || !tree->def.body.len, tree->span);
    DLC_ASSERT(ctx, tree->kind != T_FN || tree->def.value, tree->span);
    check_list(ctx, tree, tree->def.params, is_decl);
    check_list(ctx, tree, tree->def.body, tree->kind == T_DATA ? is_data_statement : is_statement);
    if (tree->def.value) check(ctx, tree, tree->def.value, is_expression);
}

static void check_decl(Ctx *ctx, const Tree *tree) {
    DLC_ASSERT(ctx, tree->decl.name && *tree->decl.name, tree->span);
    DLC_ASSERT(ctx, tree->decl.has_dims || !tree->decl.dims.len, tree->span);
    DLC_ASSERT(ctx, !tree->decl.class_size || !tree->decl.value, tree->span);
    check_list(ctx, tree, tree->decl.dims, is_subscript);
    if (tree->decl.class_size) check(ctx, tree, tree->decl.class_size, is_expression);
    if (tree->decl.value) check(ctx, tree, tree->decl.value, is_expression);
}

static void check_op(Ctx *ctx, const Tree *tree) {
    Allowed *allowed = tree->kind == T_RANGE ? is_column_end : is_expression;
    check(ctx, tree, tree->op.a, allowed);
    if (tree->kind != T_UNARY) check(ctx, tree, tree->op.b, allowed);
    bool unary = tree->op.op == OPR_NOT || tree->op.op == OPR_NEG;
    if (tree->kind == T_UNARY) DLC_ASSERT(ctx, unary && !tree->op.b, tree->span);
    if (tree->kind == T_BINARY) DLC_ASSERT(ctx, !unary, tree->span);
    if (tree->kind == T_ELSE)
        DLC_ASSERT(ctx, tree->op.a->kind == T_INDEXED || tree->op.a->kind == T_ERROR, tree->span);
}

static void check_expression(Ctx *ctx, const Tree *tree) {
    switch (tree->kind) {
    case T_NUMBER: DLC_ASSERT(ctx, tree->number.text != NULL, tree->span); return;
    case T_IMPORT:
    case T_STRING: DLC_ASSERT(ctx, tree->text.value != NULL, tree->span); return;
    case T_BOOL: return;
    case T_NAME: DLC_ASSERT(ctx, tree->name && *tree->name, tree->span); return;
    case T_INDEXED:
        check(ctx, tree, tree->indexed.base, is_expression);
        check_list(ctx, tree, tree->indexed.subs, is_subscript);
        return;
    case T_CALL:
        check(ctx, tree, tree->call.callee, is_expression);
        check_list(ctx, tree, tree->call.args, is_arg);
        return;
    case T_IF:
        check(ctx, tree, tree->choice.condition, is_expression);
        check(ctx, tree, tree->choice.then, is_expression);
        check(ctx, tree, tree->choice.otherwise, is_expression);
        return;
    case T_REDUCE:
        check_list(ctx, tree, tree->reduce.binders, is_index);
        check(ctx, tree, tree->reduce.body, is_expression);
        return;
    case T_BINDER:
        DLC_ASSERT(ctx, tree->binder.name && *tree->binder.name, tree->span);
        if (tree->binder.bound) check(ctx, tree, tree->binder.bound, is_expression);
        return;
    default: check_op(ctx, tree); return;
    }
}

static void check_statement(Ctx *ctx, const Tree *tree) {
    switch (tree->kind) {
    case T_PARAM:
        check_list(ctx, tree, tree->param.decls, is_decl);
        check(ctx, tree, tree->param.init, is_use);
        check_list(ctx, tree, tree->param.attributes, is_arg);
        return;
    case T_EQUATION:
        DLC_ASSERT(ctx, tree->equation.name && *tree->equation.name, tree->span);
        DLC_ASSERT(ctx, tree->equation.has_subs || !tree->equation.subs.len, tree->span);
        check_list(ctx, tree, tree->equation.subs, is_index);
        check(ctx, tree, tree->equation.value, is_expression);
        return;
    case T_REPEAT:
        check(ctx, tree, tree->repeat.count, is_expression);
        check_list(ctx, tree, tree->repeat.body, is_statement);
        return;
    case T_COLUMNS: check_list(ctx, tree, tree->columns.columns, is_column); return;
    case T_SIZE: check(ctx, tree, tree->named.value, is_expression); return;
    case T_ARG: /* `in_order` of a split has no value */
        DLC_ASSERT(ctx, tree->named.name || tree->named.value, tree->span);
        if (tree->named.value) check(ctx, tree, tree->named.value, is_expression);
        return;
    case T_SOURCE: check(ctx, tree, tree->named.value, is_use); return;
    case T_OPTIMIZER_USE: check(ctx, tree, tree->unary.value, is_optimizer); return;
    case T_LOSS:
    case T_SCALE: check(ctx, tree, tree->unary.value, is_expression); return;
    case T_MISSING: check(ctx, tree, tree->unary.value, is_constant); return;
    case T_OUTPUT:
    case T_STANDARDIZE: check_list(ctx, tree, tree->list.items, is_name); return;
    case T_REQUIRE:
    case T_METRIC_USE: check_list(ctx, tree, tree->list.items, is_expression); return;
    case T_SPLIT: check_list(ctx, tree, tree->list.items, is_arg); return;
    default: check_list(ctx, tree, tree->list.items, is_decl); return;
    }
}

static void verify_node(void *data, const char *role, Tree *tree) {
    Ctx *ctx = data;
    DLC_ASSERT(ctx, tree->kind < TREE_KINDS, tree->span);
    DLC_ASSERT(ctx, tree->span.begin <= tree->span.end, tree->span);
    if (tree->kind == T_FILE)
        check_list(ctx, tree, tree->file.items, is_top);
    else if (tree->kind == T_TRAIN)
        check_list(ctx, tree, tree->train.settings, is_arg);
    else if (tree->kind == T_DECL)
        check_decl(ctx, tree);
    else if (tree->kind >= T_FN && tree->kind <= T_DATA)
        check_def(ctx, tree);
    else if (is_statement(tree->kind) || is_data_statement(tree->kind) || tree->kind == T_ARG)
        check_statement(ctx, tree);
    else if (tree->kind != T_ERROR && tree->kind != T_REST)
        check_expression(ctx, tree);
    tree_children(tree, &(Visitor){verify_node, ctx});
}

void syntax_verify(Ctx *ctx, const Tree *tree) {
    verify_node(ctx, "", (Tree *)(uintptr_t)tree);
}
