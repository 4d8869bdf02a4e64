/* syntax/dump.c: the tree itself, one node a line: its role in its parent, its kind, what it names.
 */
#include "syntax/private.h"

#include <ctype.h>

typedef struct Dump {
    Text *out;
    uint32_t depth;
} Dump;

static void dump_kind(Text *out, TreeKind kind) {
    static const char *const names[] = {
#define TREE(kind, payload, word) #kind,
#include "syntax/tree.def"
#undef TREE
    };
    for (const char *c = names[kind] + strlen("T_"); *c; c++) {
        char lower = (char)(*c == '_' ? '-' : tolower((unsigned char)*c));
        text_putn(out, &lower, 1);
    }
}

/* What the node says besides its parts. */
static void dump_payload(Text *out, const Tree *tree) {
    switch (tree->kind) {
    case T_FN:
    case T_LAYER:
    case T_OPTIMIZER:
    case T_METRIC:
    case T_INIT:
    case T_MODEL:
    case T_DATA: text_printf(out, " %s", tree->def.name); return;
    case T_TRAIN: text_printf(out, " %s on %s", tree->train.model, tree->train.data); return;
    case T_DECL:
        text_printf(out, " %s%s", tree->decl.name, tree->decl.has_dims ? "[]" : "");
        return;
    case T_SIZE:
    case T_SOURCE: text_printf(out, " %s", tree->named.name); return;
    case T_ARG:
        if (tree->named.name) text_printf(out, " %s", tree->named.name);
        return;
    case T_EQUATION:
        text_printf(out, " %s%s%s", tree->equation.name, tree->equation.has_subs ? "[]" : "",
                    tree->equation.is_output ? " (output)" : "");
        return;
    case T_COLUMNS: text_printf(out, " %s", tree->columns.name); return;
    case T_NUMBER: text_printf(out, " %s", tree->number.text); return;
    case T_IMPORT:
    case T_STRING:
        text_put(out, " ");
        print_string(out, tree->text.value);
        return;
    case T_BOOL: text_put(out, tree->boolean ? " true" : " false"); return;
    case T_NAME: text_printf(out, " %s", tree->name); return;
    case T_UNARY:
    case T_BINARY: text_printf(out, " %s", operator_text(tree->op.op)); return;
    case T_REDUCE: text_printf(out, " %s", reduce_text(tree->reduce.word)); return;
    case T_BINDER:
        text_printf(out, " %s%s", tree->binder.over_params ? "param " : "", tree->binder.name);
        return;
    default: return;
    }
}

static void dump_node(void *data, const char *role, Tree *tree) {
    Dump *dump = data;
    for (uint32_t i = 0; i < dump->depth; i++) text_put(dump->out, "  ");
    if (*role) text_printf(dump->out, "%s: ", role);
    dump_kind(dump->out, tree->kind);
    dump_payload(dump->out, tree);
    text_put(dump->out, "\n");
    Dump below = {dump->out, dump->depth + 1};
    tree_children(tree, &(Visitor){dump_node, &below});
}

void syntax_dump(Text *out, const Tree *tree) {
    Dump dump = {out, 0};
    dump_node(&dump, "", (Tree *)(uintptr_t)tree);
}
