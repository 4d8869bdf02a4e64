/* sema/program.c: the definitions of a session: declaring, importing, finding.
 *
 * in:   parsed files      out: tables from names to definitions, one for each kind
 * The library has tables of its own: a user may give its names other meanings without changing what
 * the library itself means by them.
 */
#include "sema/private.h"

#include <errno.h>
#include <stdlib.h>

static const char *const space_words[SPACES] = {"function or layer", "optimizer", "metric",
                                                "initialiser",       "model",     "data block"};

const char *space_word(Space space) {
    return space_words[space];
}

static Space space_of(TreeKind kind) {
    switch ((int)kind) {
    case T_FN:
    case T_LAYER: return SPACE_FUNCTION;
    case T_OPTIMIZER: return SPACE_OPTIMIZER;
    case T_METRIC: return SPACE_METRIC;
    case T_INIT: return SPACE_INIT;
    case T_MODEL: return SPACE_MODEL;
    case T_DATA: return SPACE_DATA;
    default: return SPACES;
    }
}

/* ---- finding -------------------------------------------------------------------------------- */

Definition *program_find(Ctx *ctx, const Program *program, Space space, Sym name, Span from) {
    const Source *source = source_of(&ctx->sources, from);
    const Map *library = &program->library[space], *user = &program->user[space];
    bool inside = source && source->is_library;
    Definition *found = map_get(inside ? library : user, name);
    return found ? found : map_get(inside ? user : library, name);
}

const char *program_nearest(Ctx *ctx, const Program *program, Space space, Sym name,
                            const char *const *others, uint32_t nothers) {
    Names names = {0};
    for (uint32_t i = 0; i < nothers; i++) vec_push(ctx->arena, &names, others[i]);
    const Map *tables[] = {&program->user[space], &program->library[space]};
    for (size_t t = 0; t < 2; t++)
        for (uint32_t i = 0; i < tables[t]->len; i++)
            vec_push(ctx->arena, &names, (const char *)tables[t]->entries[i].key);
    return diag_nearest(name, names.at, names.len);
}

Definition *program_model(Ctx *ctx, const Program *program, const char *name) {
    if (!program->models.len) {
        diag_error(ctx, (Span){0, 0}, "there is no model in this file");
        return NULL;
    }
    Sym wanted = name ? sym(ctx, name) : program->models.at[program->models.len - 1];
    Definition *found = map_get(&program->user[SPACE_MODEL], wanted);
    if (found) return found;
    Diag *d = diag_error(ctx, (Span){0, 0}, "there is no model `%s`", name);
    const char *near = diag_nearest(name, program->models.at, program->models.len);
    if (near) diag_help(ctx, d, "did you mean `%s`?", near);
    return NULL;
}

uint32_t sema_models(const Program *program, const Sym **names) {
    *names = program->models.at;
    return program->models.len;
}

/* ---- declaring ------------------------------------------------------------------------------ */

static void check_parameters(Ctx *ctx, const Tree *tree) {
    Map seen = {0};
    for (uint32_t i = 0; i < tree->def.params.len; i++) {
        const Tree *param = tree->def.params.at[i];
        if (param->kind != T_DECL || is_batch_name(ctx, param->decl.name, param->span)) continue;
        if (map_has(&seen, param->decl.name))
            diag_error(ctx, param->span, "`%s` has two parameters named `%s`", tree->def.name,
                       param->decl.name);
        map_set(ctx->arena, &seen, param->decl.name, (void *)param);
    }
}

static void add_model(Ctx *ctx, Program *program, Sym name) {
    for (uint32_t i = 0; i < program->models.len; i++)
        if (program->models.at[i] == name) {
            for (; i + 1 < program->models.len; i++)
                program->models.at[i] = program->models.at[i + 1];
            program->models.len--;
        }
    vec_push(ctx->arena, &program->models, name);
}

static void add_definition(Ctx *ctx, Program *program, const Tree *tree, bool is_library) {
    Space space = space_of(tree->kind);
    Map *table = is_library ? &program->library[space] : &program->user[space];
    Definition *old = map_get(table, tree->def.name);
    if (old && old->round == program->round) {
        Diag *d = diag_error(ctx, tree->def.name_span, "%s `%s` is defined twice",
                             tree_word(tree->kind), tree->def.name);
        diag_note(ctx, d, old->tree->def.name_span, "first defined here");
        return;
    }
    check_parameters(ctx, tree);
    Definition *definition = ARENA_NEW(ctx->arena, Definition);
    *definition = (Definition){.tree = tree,
                               .name = tree->def.name,
                               .space = space,
                               .is_library = is_library,
                               .round = program->round,
                               .is_imported = program->importing.len > 1};
    map_set(ctx->arena, table, tree->def.name, definition);
    if (is_library) return;
    vec_push(ctx->arena, &program->all, definition);
    if (space == SPACE_MODEL) add_model(ctx, program, tree->def.name);
}

/* A model is trained in one way; in a session the last one counts. */
static void add_train(Ctx *ctx, Program *program, const Tree *tree) {
    for (uint32_t i = program->old_trains; i < program->trains.len; i++) {
        const Tree *other = program->trains.at[i];
        if (other->train.model != tree->train.model) continue;
        Diag *d = diag_error(ctx, tree->train.model_span, "model `%s` has two train blocks",
                             tree->train.model);
        diag_note(ctx, d, other->train.model_span, "the first is here");
        return;
    }
    vec_push(ctx->arena, &program->trains, tree);
}

/* ---- imports -------------------------------------------------------------------------------- */

static void declare_file(Ctx *ctx, Program *program, const SyntaxFile *file, bool is_library);

/* The path as the file system knows it, so that one file under two names is read once. */
static Sym canonical(Ctx *ctx, const char *path) {
    char *real = realpath(path, NULL);
    Sym name = sym(ctx, real ? real : path);
    free(real);
    return name;
}

static const char *beside(Ctx *ctx, Span from, const char *path) {
    const Source *source = source_of(&ctx->sources, from);
    const char *slash = source ? strrchr(source->path, '/') : NULL;
    if (path[0] == '/' || !slash) return path;
    return arena_printf(ctx->arena, "%.*s/%s", (int)(slash - source->path), source->path, path);
}

static void import(Ctx *ctx, Program *program, const Tree *tree) {
    const char *path = beside(ctx, tree->span, tree->text.value);
    Sym key = canonical(ctx, path);
    for (uint32_t i = 0; i < program->importing.len; i++)
        if (program->importing.at[i] == key) {
            diag_error(ctx, tree->span, "these imports go in a circle: %s is being read already",
                       tree->text.value);
            return;
        }
    if (map_has(&program->imported, key)) return;
    Source *source = source_read(&ctx->sources, path);
    if (!source) {
        diag_error(ctx, tree->span, "cannot read %s: %s", path, strerror(errno));
        return;
    }
    map_set(ctx->arena, &program->imported, key, (void *)key);
    if (program->importing.len > 100) {
        diag_error(ctx, tree->span, "imports are nested too deeply");
        return;
    }
    vec_push(ctx->arena, &program->importing, key);
    SyntaxFile file = syntax_parse(ctx, source);
    declare_file(ctx, program, &file, false);
    program->importing.len--;
}

static void declare_item(Ctx *ctx, Program *program, const Tree *item, bool is_library) {
    if (item->kind == T_IMPORT) {
        import(ctx, program, item);
    } else if (item->kind == T_TRAIN) {
        add_train(ctx, program, item);
    } else if (space_of(item->kind) != SPACES) {
        add_definition(ctx, program, item, is_library);
    }
}

static void declare_file(Ctx *ctx, Program *program, const SyntaxFile *file, bool is_library) {
    const TreeList *items = &file->tree->file.items;
    for (uint32_t i = 0; i < items->len; i++) declare_item(ctx, program, items->at[i], is_library);
}

void sema_declare(Ctx *ctx, Program *program, const SyntaxFile *file) {
    const TreeList *items = &file->tree->file.items;
    program->round++;
    program->old_trains = program->trains.len;
    const Source *source = items->len ? source_of(&ctx->sources, items->at[0]->span) : NULL;
    Sym key = source ? canonical(ctx, source->path) : sym(ctx, "");
    vec_push(ctx->arena, &program->importing, key);
    declare_file(ctx, program, file, false);
    program->importing.len--;
}

Program *sema_program(Ctx *ctx) {
    Program *program = ARENA_NEW(ctx->arena, Program);
    for (uint32_t i = 0; i < library_nfiles; i++) {
        const LibraryFile *file = &library_files[i];
        Source *source = source_add(&ctx->sources, file->path, file->text, file->length);
        source->is_library = true;
        SyntaxFile parsed = syntax_parse(ctx, source);
        declare_file(ctx, program, &parsed, true);
    }
    if (diag_failed(ctx)) {
        diag_show(ctx, stderr, false, false);
        DLC_BUG(ctx, ((Span){0, 0}), "the library does not parse");
    }
    return program;
}
