/* syntax/children.c: the parts of a node, in the order in which they were written. */
#include "syntax/private.h"

static void visit_one(const Visitor *v, const char *role, Tree *part) {
    if (part) v->visit(v->data, role, part);
}

static void visit_list(const Visitor *v, const char *role, TreeList list) {
    for (uint32_t i = 0; i < list.len; i++) v->visit(v->data, role, list.at[i]);
}

static void visit_statement(const Visitor *v, const Tree *tree) {
    switch (tree->kind) {
    case T_PARAM:
        visit_list(v, "", tree->param.decls);
        visit_one(v, "init", tree->param.init);
        visit_list(v, "attribute", tree->param.attributes);
        return;
    case T_EQUATION:
        visit_list(v, "index", tree->equation.subs);
        visit_one(v, "", tree->equation.value);
        return;
    case T_REPEAT:
        visit_one(v, "count", tree->repeat.count);
        visit_list(v, "", tree->repeat.body);
        return;
    case T_COLUMNS: visit_list(v, "", tree->columns.columns); return;
    case T_LOSS:
    case T_OPTIMIZER_USE:
    case T_SCALE:
    case T_MISSING: visit_one(v, "", tree->unary.value); return;
    case T_SIZE:
    case T_SOURCE:
    case T_ARG: visit_one(v, "", tree->named.value); return;
    default: visit_list(v, "", tree->list.items); return;
    }
}

static void visit_expression(const Visitor *v, const Tree *tree) {
    switch (tree->kind) {
    case T_INDEXED:
        visit_one(v, "of", tree->indexed.base);
        visit_list(v, "", tree->indexed.subs);
        return;
    case T_CALL:
        visit_one(v, "callee", tree->call.callee);
        visit_list(v, "", tree->call.args);
        return;
    case T_IF:
        visit_one(v, "if", tree->choice.condition);
        visit_one(v, "then", tree->choice.then);
        visit_one(v, "else", tree->choice.otherwise);
        return;
    case T_REDUCE:
        visit_list(v, "index", tree->reduce.binders);
        visit_one(v, "", tree->reduce.body);
        return;
    case T_BINDER: visit_one(v, "below", tree->binder.bound); return;
    default:
        visit_one(v, "", tree->op.a);
        visit_one(v, "", tree->op.b);
        return;
    }
}

void tree_children(const Tree *tree, const Visitor *v) {
    switch (tree->kind) {
    case T_FILE: visit_list(v, "", tree->file.items); return;
    case T_FN:
    case T_LAYER:
    case T_OPTIMIZER:
    case T_METRIC:
    case T_INIT:
    case T_MODEL:
    case T_DATA:
        visit_list(v, "parameter", tree->def.params);
        visit_list(v, "", tree->def.body);
        visit_one(v, "", tree->def.value);
        return;
    case T_TRAIN: visit_list(v, "", tree->train.settings); return;
    case T_DECL:
        visit_list(v, "dim", tree->decl.dims);
        visit_one(v, "classes", tree->decl.class_size);
        visit_one(v, "value", tree->decl.value);
        return;
    case T_INPUT:
    case T_TARGET:
    case T_PARAM:
    case T_STATE:
    case T_SIZE:
    case T_EQUATION:
    case T_OUTPUT:
    case T_LOSS:
    case T_METRIC_USE:
    case T_OPTIMIZER_USE:
    case T_REQUIRE:
    case T_REPEAT:
    case T_SOURCE:
    case T_COLUMNS:
    case T_SCALE:
    case T_STANDARDIZE:
    case T_SPLIT:
    case T_MISSING:
    case T_ARG: visit_statement(v, tree); return;
    case T_INDEXED:
    case T_CALL:
    case T_UNARY:
    case T_BINARY:
    case T_IF:
    case T_ELSE:
    case T_REDUCE:
    case T_PIPE:
    case T_BINDER:
    case T_RANGE: visit_expression(v, tree); return;
    case T_IMPORT:
    case T_NUMBER:
    case T_STRING:
    case T_BOOL:
    case T_NAME:
    case T_REST:
    case T_ERROR:
    case TREE_KINDS: return;
    }
}
