/* sema/check.c: definitions that no model uses.
 *
 * What a model uses is checked when the model is expanded, with all sizes known. The rest is
 * checked here for its names alone, and reported as never used where there is a model in the file.
 */
#include "sema/private.h"

/* ---- what models reach
 * ----------------------------------------------------------------------------- */

/* The user's definitions that texts lead to, from name to name. */
typedef struct Reach {
    Ctx *ctx;
    const Program *program;
    Map seen; /* Definition* → itself */
    Vec(Definition *) todo;
} Reach;

static void reach_name(Reach *r, Sym name) {
    for (int space = 0; space < SPACES; space++) {
        Definition *found = map_get(&r->program->user[space], name);
        if (!found || map_has(&r->seen, found)) continue;
        map_set(r->ctx->arena, &r->seen, found, found);
        vec_push(r->ctx->arena, &r->todo, found);
    }
}

static void reach_in(void *data, const char *role, Tree *part) {
    Reach *r = data;
    if (part->kind == T_NAME) reach_name(r, part->name);
    Visitor visitor = {reach_in, r};
    tree_children(part, &visitor);
}

static void reach_all(Reach *r) {
    while (r->todo.len) {
        Visitor visitor = {reach_in, r};
        tree_children(r->todo.at[--r->todo.len]->tree, &visitor);
    }
}

static void mark_used(Ctx *ctx, const Program *program) {
    Reach r = {.ctx = ctx, .program = program};
    for (uint32_t i = 0; i < program->models.len; i++) reach_name(&r, program->models.at[i]);
    reach_all(&r);
    for (uint32_t i = 0; i < program->all.len; i++)
        program->all.at[i]->is_used = map_has(&r.seen, program->all.at[i]);
}

bool reaches_itself(Ctx *ctx, const Program *program, const Definition *definition) {
    Reach r = {.ctx = ctx, .program = program};
    Visitor visitor = {reach_in, &r};
    tree_children(definition->tree, &visitor);
    reach_all(&r);
    return map_has(&r.seen, definition);
}

/* ---- names
 * --------------------------------------------------------------------------------------------- */

typedef struct NameCheck {
    Ctx *ctx;
    const Program *program;
    Map names; /* of the body */
    const struct IndexName *indices;
} NameCheck;

typedef struct IndexName {
    const struct IndexName *up;
    Sym name;
} IndexName;

static void declare(NameCheck *c, Sym name) {
    map_set(c->ctx->arena, &c->names, name, (void *)name);
}

static void declare_sizes(NameCheck *c, const Tree *decl) {
    if (decl->kind != T_DECL) return;
    declare(c, decl->decl.name);
    for (uint32_t d = 0; d < decl->decl.dims.len; d++)
        if (decl->decl.dims.at[d]->kind == T_NAME) declare(c, decl->decl.dims.at[d]->name);
    if (decl->decl.class_size && decl->decl.class_size->kind == T_NAME)
        declare(c, decl->decl.class_size->name);
}

static void declare_statements(NameCheck *c, const TreeList *body) {
    for (uint32_t i = 0; i < body->len; i++) {
        const Tree *tree = body->at[i];
        if (tree->kind == T_EQUATION) declare(c, tree->equation.name);
        if (tree->kind == T_SIZE) declare(c, tree->named.name);
        if (tree->kind == T_REPEAT) declare_statements(c, &tree->repeat.body);
        const TreeList *decls = tree->kind == T_PARAM   ? &tree->param.decls
                                : tree->kind == T_STATE ? &tree->list.items
                                                        : NULL;
        for (uint32_t k = 0; decls && k < decls->len; k++)
            if (decls->at[k]->kind == T_DECL) declare(c, decls->at[k]->decl.name);
    }
}

static bool is_known(const NameCheck *c, const Tree *tree) {
    Op op;
    if (map_has(&c->names, tree->name) || find_operation(tree->name, &op)) return true;
    for (const IndexName *index = c->indices; index; index = index->up)
        if (index->name == tree->name) return true;
    for (int space = 0; space < SPACES; space++)
        if (program_find(c->ctx, c->program, (Space)space, tree->name, tree->span)) return true;
    return false;
}

static void check_tree(void *data, const char *role, Tree *tree);

static void check_children(NameCheck *c, const Tree *tree) {
    Visitor visitor = {check_tree, c};
    tree_children(tree, &visitor);
}

static void check_under(NameCheck *c, const TreeList *binders, uint32_t next, const Tree *tree) {
    if (next == binders->len) {
        check_children(c, tree);
        return;
    }
    const Tree *binder = binders->at[next];
    IndexName index = {c->indices, binder->kind == T_BINDER ? binder->binder.name : NULL};
    const IndexName *before = c->indices;
    c->indices = &index;
    check_under(c, binders, next + 1, tree);
    c->indices = before;
}

static void check_tree(void *data, const char *role, Tree *tree) {
    NameCheck *c = data;
    if (tree->kind == T_NAME && !is_known(c, tree)) {
        Names names = {0};
        for (uint32_t i = 0; i < c->names.len; i++)
            vec_push(c->ctx->arena, &names, (const char *)c->names.entries[i].key);
        unknown_name(c->ctx, c->program, tree, names);
    } else if (tree->kind == T_REDUCE) {
        check_under(c, &tree->reduce.binders, 0, tree);
    } else if (tree->kind == T_EQUATION) {
        check_under(c, &tree->equation.subs, 0, tree);
    } else if (tree->kind != T_ERROR) {
        check_children(c, tree);
    }
}

static void check_definition(Ctx *ctx, const Program *program, const Definition *definition) {
    static const char *const everywhere[] = {"train",   "pi",     "inf",  "batch", "rank",
                                             "uniform", "normal", "grad", "nan"};
    /* A function may be called in an optimizer. */
    static const char *const optimizers[] = {"step", "steps", "norm", "w", "g", "decays"};
    size_t noptimizers = definition->space == SPACE_OPTIMIZER  ? 6
                         : definition->space == SPACE_FUNCTION ? 3
                                                               : 0;
    static const char *const initials[] = {"fan_in", "fan_out"};
    NameCheck c = {.ctx = ctx, .program = program};
    const Tree *tree = definition->tree;
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
        declare(&c, sym(ctx, everywhere[i]));
    for (size_t i = 0; i < noptimizers; i++) declare(&c, sym(ctx, optimizers[i]));
    for (size_t i = 0; definition->space == SPACE_INIT && i < 2; i++)
        declare(&c, sym(ctx, initials[i]));
    for (uint32_t i = 0; i < tree->def.params.len; i++) declare_sizes(&c, tree->def.params.at[i]);
    declare_statements(&c, &tree->def.body);
    check_children(&c, tree);
}

void sema_check(Ctx *ctx, Program *program) {
    mark_used(ctx, program);
    for (uint32_t i = 0; i < program->all.len; i++) {
        const Definition *d = program->all.at[i];
        bool checked = d->space != SPACE_DATA && d->space != SPACE_MODEL && !d->is_used;
        if (!checked) continue;
        check_definition(ctx, program, d);
        if (program->models.len && !d->is_imported)
            diag_warning(ctx, d->tree->def.name_span, "%s `%s` is never used",
                         tree_word(d->tree->kind), d->name);
    }
    check_data(ctx, program);
}
