/* sema/data.c: data and train blocks in the runtime's terms.
 *
 * in:   T_DATA and T_TRAIN trees      out: DlrtDataSpec and DlrtTrainSpec, in the arena
 * Everything that can be said without opening a file is said here, at its line: readers, settings,
 * percentages, columns, names of inputs and targets.
 */
#include "sema/private.h"

#include <math.h>

enum { MAX_EPOCHS = 1000000000, MAX_BATCH = 1 << 24 };

static const char *nearest_help(Ctx *ctx, Diag *d, const char *name, const char *const *known,
                                uint32_t nknown) {
    const char *near = diag_nearest(name, known, nknown);
    if (near) diag_help(ctx, d, "did you mean `%s`?", near);
    return near;
}

/* "csv, idx and x" */
static const char *list_words(Ctx *ctx, const char *const *words, uint32_t n) {
    Text text = text_new(ctx->arena);
    for (uint32_t i = 0; i < n; i++)
        text_printf(&text, "%s`%s`", i == 0 ? "" : i + 1 == n ? " and " : ", ", words[i]);
    return text_string(&text);
}

/* ---- numbers ------------------------------------------------------------------------------- */

/* port * factor + offset; a plain number when port is NULL. */
typedef struct Linear {
    bool good;
    Sym port;
    Span span; /* of the port's name */
    double factor, offset;
} Linear;

/* Why an expression is not one. */
typedef struct Numbers {
    Ctx *ctx;
    bool with_port; /* a name may stand for a port */
    const char *wanted;
} Numbers;

static Linear bad_number(const Numbers *n, Span span) {
    diag_error(n->ctx, span, "%s", n->wanted);
    return (Linear){0};
}

static Linear linear_number(double value) {
    return (Linear){.good = true, .offset = value};
}

static Linear linear(const Numbers *n, const Tree *tree);

static Linear linear_binary(const Numbers *n, const Tree *tree) {
    Linear a = linear(n, tree->op.a), b = linear(n, tree->op.b);
    if (!a.good || !b.good) return (Linear){0};
    if (a.port && b.port && a.port != b.port) {
        Diag *d = diag_error(n->ctx, b.span, "`scale` is for one input or target at a time");
        diag_note(n->ctx, d, a.span, "`%s` is already in this statement", a.port);
        return (Linear){0};
    }
    Linear r = {.good = true, .port = a.port ? a.port : b.port, .span = a.port ? a.span : b.span};
    switch (tree->op.op) {
    case OPR_ADD:
    case OPR_SUB: {
        double sign = tree->op.op == OPR_ADD ? 1 : -1;
        r.factor = a.factor + sign * b.factor;
        r.offset = a.offset + sign * b.offset;
        return r;
    }
    case OPR_MUL:
        if (a.port && b.port) break;
        r.factor = a.port ? a.factor * b.offset : b.factor * a.offset;
        r.offset = a.offset * b.offset;
        return r;
    case OPR_DIV:
        if (b.port) break;
        if (b.offset == 0) {
            diag_error(n->ctx, tree->op.b->span, "this divides by zero");
            return (Linear){0};
        }
        r.factor = a.factor / b.offset;
        r.offset = a.offset / b.offset;
        return r;
    case OPR_POW:
        if (a.port || b.port) break;
        return linear_number(pow(a.offset, b.offset));
    default: break;
    }
    return bad_number(n, tree->span);
}

static Linear linear(const Numbers *n, const Tree *tree) {
    switch ((int)tree->kind) {
    case T_ERROR: return (Linear){0};
    case T_NUMBER: return linear_number(tree->number.value);
    case T_NAME:
        if (strcmp(tree->name, "pi") == 0) return linear_number(3.14159265358979323846);
        if (!n->with_port) return bad_number(n, tree->span);
        return (Linear){.good = true, .port = tree->name, .span = tree->span, .factor = 1};
    case T_UNARY: {
        Linear a = linear(n, tree->op.a);
        if (tree->op.op != OPR_NEG) return a.good ? bad_number(n, tree->span) : a;
        a.factor = -a.factor;
        a.offset = -a.offset;
        return a;
    }
    case T_BINARY: return linear_binary(n, tree);
    default: return bad_number(n, tree->span);
    }
}

/* ---- train blocks -------------------------------------------------------------------------- */

typedef struct TrainSetting {
    const char *name, *wanted;
    int64_t least, most;
} TrainSetting;

static const TrainSetting train_settings[] = {
    {"epochs", "`epochs` is a whole number from 1 to 1000000000", 1, MAX_EPOCHS},
    {"batch", "`batch` is a whole number from 1 to 16777216: how many examples make a step", 1,
     MAX_BATCH},
    {"seed", "`seed` is a whole number from 0 to 9007199254740992", 0, (int64_t)1 << 53},
    {"steps", "`steps` is a whole number from 1 to 1000000000: how many batches to train on", 1,
     MAX_EPOCHS},
    {"patience",
     "`patience` is a whole number from 1: after how many reports without a smaller validation "
     "loss "
     "training ends",
     1, MAX_EPOCHS},
};

enum { SET_EPOCHS, SET_BATCH, SET_SEED, SET_STEPS, SET_PATIENCE };
enum { TRAIN_SETTINGS = sizeof train_settings / sizeof *train_settings };

static int find_train_setting(Ctx *ctx, const Tree *setting) {
    const char *known[TRAIN_SETTINGS];
    for (int i = 0; i < TRAIN_SETTINGS; i++) {
        known[i] = train_settings[i].name;
        if (strcmp(known[i], setting->named.name) == 0) return i;
    }
    Diag *d =
        diag_error(ctx, setting->named.name_span, "a train block has no setting `%s`: there are %s",
                   setting->named.name, list_words(ctx, known, TRAIN_SETTINGS));
    nearest_help(ctx, d, setting->named.name, known, TRAIN_SETTINGS);
    return -1;
}

static bool read_train_setting(Ctx *ctx, const Tree *setting, int64_t *values, Span *given) {
    int i = find_train_setting(ctx, setting);
    if (i < 0) return false;
    const TrainSetting *s = &train_settings[i];
    if (given[i].begin) {
        Diag *d = diag_error(ctx, setting->named.name_span, "`%s` is set twice", s->name);
        diag_note(ctx, d, given[i], "first set here");
        return false;
    }
    given[i] = setting->named.name_span;
    Numbers numbers = {.ctx = ctx, .wanted = s->wanted};
    Linear value = linear(&numbers, setting->named.value);
    if (!value.good) return false;
    if (value.offset != floor(value.offset) || !(value.offset >= (double)s->least) ||
        !(value.offset <= (double)s->most)) {
        Text text = text_new(ctx->arena);
        text_number(&text, value.offset);
        diag_error(ctx, setting->named.value->span, "%s, got %s", s->wanted, text_string(&text));
        return false;
    }
    values[i] = (int64_t)value.offset;
    return true;
}

static const DlrtTrainSpec *train_spec(Ctx *ctx, const Tree *tree) {
    int64_t values[TRAIN_SETTINGS] = {[SET_EPOCHS] = 10, [SET_BATCH] = 64};
    Span given[TRAIN_SETTINGS] = {{0, 0}};
    bool good = true;
    for (uint32_t i = 0; i < tree->train.settings.len; i++) {
        const Tree *setting = tree->train.settings.at[i];
        good &= setting->kind == T_ARG && read_train_setting(ctx, setting, values, given);
    }
    if (given[SET_STEPS].begin && given[SET_EPOCHS].begin) {
        Diag *d = diag_error(ctx, given[SET_STEPS], "a training counts epochs or steps, not both");
        diag_note(ctx, d, given[SET_EPOCHS], "epochs are set here");
        good = false;
    }
    if (!good) return NULL;
    DlrtTrainSpec *spec = ARENA_NEW(ctx->arena, DlrtTrainSpec);
    *spec = (DlrtTrainSpec){.model = tree->train.model,
                            .data = tree->train.data,
                            .epochs = values[SET_EPOCHS],
                            .batch = values[SET_BATCH],
                            .steps = values[SET_STEPS],
                            .patience = values[SET_PATIENCE],
                            .seed = (uint64_t)values[SET_SEED]};
    return spec;
}

/* ---- sources ------------------------------------------------------------------------------- */

static const char *const part_words[DLRT_PARTS] = {"train", "valid", "test"};

static int find_word(const char *name, const char *const *words, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], name) == 0) return i;
    return -1;
}

#define READER(name, settings, named) #name,
static const char *const reader_names[] = {DLRT_READERS(READER)};
#undef READER
#define READER(name, settings, named) settings,
static const char *const reader_settings[] = {DLRT_READERS(READER)};
#undef READER
#define READER(name, settings, named) named,
static const DlrtNamed reader_named[] = {DLRT_READERS(READER)};
#undef READER

enum { READERS = sizeof reader_names / sizeof *reader_names };

/* A data block on its way into a spec. */
typedef struct Block {
    Ctx *ctx;
    const Tree *tree;
    DlrtDataSpec *spec;
    Vec(DlrtSource) sources;
    Vec(DlrtColumns) columns;
    Vec(DlrtScale) scales;
    Span split, missing; /* of the statements met, or nowhere */
    bool good;
} Block;

static Diag *block_error(Block *b, Span span, const char *message) {
    b->good = false;
    return diag_error(b->ctx, span, "%s", message);
}

/* Is `name` one of the words, which blanks separate? */
static bool among(const char *name, const char *words) {
    size_t length = strlen(name);
    for (const char *at = strstr(words, name); at; at = strstr(at + 1, name))
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || !at[length])) return true;
    return false;
}

static void check_setting(Block *b, int reader, const Tree *arg) {
    if (!arg->named.name || reader_named[reader] != DLRT_NAMED_SETTINGS) return;
    if (among(arg->named.name, reader_settings[reader])) return;
    if (!*reader_settings[reader]) {
        block_error(
            b, arg->named.name_span,
            arena_printf(b->ctx->arena, "%s has no settings, only files", reader_names[reader]));
        return;
    }
    char *words = arena_strdup(b->ctx->arena, reader_settings[reader]);
    Names known = {0};
    char *next = NULL;
    for (char *w = strtok_r(words, " ", &next); w; w = strtok_r(NULL, " ", &next))
        vec_push(b->ctx->arena, &known, (const char *)w);
    Diag *d = block_error(b, arg->named.name_span,
                          arena_printf(b->ctx->arena, "%s has no setting `%s`: there %s %s",
                                       reader_names[reader], arg->named.name,
                                       known.len == 1 ? "is only" : "are",
                                       list_words(b->ctx, known.at, known.len)));
    nearest_help(b->ctx, d, arg->named.name, known.at, known.len);
}

static DlrtArgument source_argument(Block *b, int reader, const Tree *arg) {
    DlrtArgument argument = {.name = arg->named.name};
    const Tree *value = arg->named.value;
    check_setting(b, reader, arg);
    switch ((int)value->kind) {
    case T_ERROR: b->good = false; break;
    case T_STRING:
        argument.kind = DLRT_STRING;
        argument.string = value->text.value;
        break;
    case T_BOOL:
        argument.kind = DLRT_BOOL;
        argument.boolean = value->boolean;
        break;
    default: {
        Numbers numbers = {.ctx = b->ctx,
                           .wanted = "an argument of a reader is a text in quotes, a number, true "
                                     "or false"};
        Linear number = linear(&numbers, value);
        b->good &= number.good;
        argument.kind = DLRT_NUMBER;
        argument.number = number.offset;
    }
    }
    return argument;
}

static void read_source(Block *b, const Tree *tree) {
    const Tree *call = tree->named.value;
    int role = find_word(tree->named.name, part_words, DLRT_PARTS);
    if (call->kind == T_ERROR) {
        b->good = false;
        return;
    }
    const Tree *callee = call->call.callee;
    int reader = find_word(callee->name, reader_names, READERS);
    if (reader < 0) {
        Diag *d =
            block_error(b, callee->span,
                        arena_printf(b->ctx->arena, "no reader is called `%s`: there are %s",
                                     callee->name, list_words(b->ctx, reader_names, READERS)));
        nearest_help(b->ctx, d, callee->name, reader_names, READERS);
        return;
    }
    uint32_t n = call->call.args.len;
    DlrtArgument *args = ARENA_ARRAY(b->ctx->arena, DlrtArgument, n + 1);
    bool has_file = false;
    for (uint32_t i = 0; i < n; i++) {
        args[i] = source_argument(b, reader, call->call.args.at[i]);
        has_file |= args[i].kind == DLRT_STRING &&
                    (!args[i].name || reader_named[reader] == DLRT_NAMED_FILES);
    }
    if (!has_file && b->good)
        block_error(b, call->span,
                    arena_printf(b->ctx->arena, "%s wants the name of a file, as in %s(\"file\")",
                                 reader_names[reader], reader_names[reader]));
    DlrtSource source = {.is_split = role < 0,
                         .part = role < 0 ? DLRT_TRAIN : (DlrtPart)role,
                         .reader = reader_names[reader],
                         .nargs = n,
                         .args = args};
    vec_push(b->ctx->arena, &b->sources, source);
}

/* ---- columns ------------------------------------------------------------------------------- */

/* One end of a range: a number from 1 or a name. */
static bool column_end(Block *b, const Tree *tree, int64_t *number, const char **name) {
    if (tree->kind == T_STRING) {
        *name = tree->text.value;
        return true;
    }
    double value = tree->kind == T_NUMBER ? tree->number.value : 0;
    if (tree->kind == T_NUMBER && tree->number.is_integer && value >= 1 && value <= INT32_MAX) {
        *number = (int64_t)value;
        return true;
    }
    block_error(b, tree->span,
                "a column is a whole number from 1 or a name in quotes, as in 1..4, \"age\"");
    return false;
}

static void column_range(Block *b, const Tree *tree, DlrtColumn *column) {
    const Tree *first = tree, *last = tree;
    if (tree->kind == T_RANGE) {
        first = tree->op.a;
        last = tree->op.b;
    }
    if (!column_end(b, first, &column->first, &column->name) ||
        !column_end(b, last, &column->last, &column->last_name))
        return;
    if (first->kind != last->kind)
        block_error(b, tree->span, "a range of columns is from number to number or name to name");
    else if (column->first > column->last)
        block_error(b, tree->span,
                    arena_printf(b->ctx->arena,
                                 "columns %lld..%lld: the first comes behind the "
                                 "last",
                                 (long long)column->first, (long long)column->last));
    if (tree->kind != T_RANGE) column->last_name = NULL;
}

static DlrtColumn read_column(Block *b, const Tree *tree) {
    DlrtColumn column = {0};
    if (tree->kind == T_ERROR) {
        b->good = false;
        return column;
    }
    if (tree->kind != T_CALL) {
        column_range(b, tree, &column);
        return column;
    }
    const Tree *callee = tree->call.callee;
    const TreeList *args = &tree->call.args;
    bool one = args->len == 1 && !args->at[0]->named.name;
    if (strcmp(callee->name, "onehot") != 0)
        block_error(b, callee->span,
                    arena_printf(b->ctx->arena, "there is no `%s` for columns, only `onehot`",
                                 callee->name));
    else if (!one)
        block_error(b, tree->span, "onehot wants one column, as in onehot(\"place\")");
    else
        column_range(b, args->at[0]->named.value, &column);
    column.onehot = true;
    return column;
}

static void read_columns(Block *b, const Tree *tree) {
    for (uint32_t i = 0; i < b->tree->def.body.len; i++) {
        const Tree *other = b->tree->def.body.at[i];
        if (other == tree) break;
        if (other->kind != T_COLUMNS || other->columns.name != tree->columns.name) continue;
        Diag *d = block_error(
            b, tree->columns.name_span,
            arena_printf(b->ctx->arena, "`%s` is given its columns twice", tree->columns.name));
        diag_note(b->ctx, d, other->columns.name_span, "first here");
        return;
    }
    uint32_t n = tree->columns.columns.len;
    DlrtColumn *list = ARENA_ARRAY(b->ctx->arena, DlrtColumn, n + 1);
    for (uint32_t i = 0; i < n; i++) list[i] = read_column(b, tree->columns.columns.at[i]);
    DlrtColumns columns = {.port = tree->columns.name, .ncolumns = n, .columns = list};
    vec_push(b->ctx->arena, &b->columns, columns);
}

/* ---- scaling, splitting, missing values ---------------------------------------------------- */

static void read_scale(Block *b, const Tree *tree) {
    Numbers numbers = {.ctx = b->ctx,
                       .with_port = true,
                       .wanted = "`scale` takes an input or target times a number plus a number, "
                                 "as in `scale x / 255` or `scale y * 2 - 1`"};
    Linear scale = linear(&numbers, tree->unary.value);
    b->good &= scale.good;
    if (!scale.good) return;
    if (!scale.port) {
        block_error(b, tree->unary.value->span,
                    "`scale` names no input or target; write it as in `scale x / 255`");
        return;
    }
    if (scale.factor == 0 || !isfinite(scale.factor) || !isfinite(scale.offset)) {
        block_error(b, tree->unary.value->span,
                    arena_printf(b->ctx->arena,
                                 "this leaves nothing of `%s`: it is multiplied by %g", scale.port,
                                 scale.factor));
        return;
    }
    DlrtScale step = {.port = scale.port, .factor = scale.factor, .offset = scale.offset};
    vec_push(b->ctx->arena, &b->scales, step);
}

static void read_standardize(Block *b, const Tree *tree) {
    for (uint32_t i = 0; i < tree->list.items.len; i++) {
        const Tree *name = tree->list.items.at[i];
        if (name->kind != T_NAME) {
            b->good = false;
            continue;
        }
        for (uint32_t k = 0; k < b->scales.len; k++)
            if (b->scales.at[k].standardize && strcmp(b->scales.at[k].port, name->name) == 0)
                block_error(b, name->span,
                            arena_printf(b->ctx->arena, "`%s` is standardized twice", name->name));
        DlrtScale step = {.port = name->name, .standardize = true};
        vec_push(b->ctx->arena, &b->scales, step);
    }
}

/* A statement that a block has at most once. */
static bool once(Block *b, const Tree *tree, Span *met) {
    if (!met->begin) {
        *met = tree->span;
        return true;
    }
    Diag *d = block_error(
        b, tree->span,
        arena_printf(b->ctx->arena, "a data block has one `%s`", tree_word(tree->kind)));
    diag_note(b->ctx, d, *met, "the first is here");
    return false;
}

static void split_part(Block *b, const Tree *item, bool *given) {
    static const char *const known[] = {"train", "valid", "test", "in_order"};
    int part = find_word(item->named.name, known, DLRT_PARTS + 1);
    const Tree *value = item->named.value;
    const char *name = item->named.name;
    if (part < 0) {
        Diag *d = block_error(b, item->named.name_span,
                              arena_printf(b->ctx->arena,
                                           "`%s` is no part of the data: there are `train`, "
                                           "`valid` and `test`",
                                           name));
        nearest_help(b->ctx, d, name, known, DLRT_PARTS + 1);
    } else if (given[part]) {
        block_error(b, item->span,
                    arena_printf(b->ctx->arena, "`%s` is in this split twice", name));
    } else if (part == DLRT_PARTS && value) {
        block_error(b, value->span, "`in_order` stands alone");
    } else if (part == DLRT_PARTS) {
        b->spec->in_order = true;
    } else if (!value) {
        block_error(b, item->span,
                    arena_printf(b->ctx->arena,
                                 "how many per cent are for `%s`? as in `split train 90, test 10`",
                                 name));
    } else {
        b->spec->percent[part] = value->number.value;
    }
    if (part >= 0) given[part] = true;
}

static void read_split(Block *b, const Tree *tree) {
    bool given[DLRT_PARTS + 1] = {false};
    double sum = 0;
    if (!once(b, tree, &b->split)) return;
    for (uint32_t i = 0; i < tree->list.items.len; i++) {
        if (tree->list.items.at[i]->kind == T_ARG)
            split_part(b, tree->list.items.at[i], given);
        else
            b->good = false;
    }
    for (int i = 0; i < DLRT_PARTS; i++) sum += b->spec->percent[i];
    if (b->good && fabs(sum - 100) > 1e-6)
        block_error(b, tree->span,
                    arena_printf(b->ctx->arena,
                                 "the parts of a split add up to 100 per cent, here to %g", sum));
}

static void read_missing(Block *b, const Tree *tree) {
    static const char *const known[] = {"error", "skip", "mean", "median"};
    const Tree *value = tree->unary.value;
    if (!once(b, tree, &b->missing)) return;
    if (value->kind != T_NAME) {
        Numbers numbers = {.ctx = b->ctx, .wanted = "`missing` takes one number"};
        Linear number = linear(&numbers, value);
        b->good &= number.good;
        b->spec->missing = DLRT_MISSING_NUMBER;
        b->spec->missing_number = number.offset;
        return;
    }
    int way = find_word(value->name, known, DLRT_MISSING_NUMBER);
    if (way >= 0) {
        b->spec->missing = (DlrtMissing)way;
        return;
    }
    Diag *d = block_error(b, value->span,
                          arena_printf(b->ctx->arena,
                                       "`missing` takes `error`, `skip`, `mean`, `median` or a "
                                       "number, not `%s`",
                                       value->name));
    nearest_help(b->ctx, d, value->name, known, DLRT_MISSING_NUMBER);
}

/* ---- data blocks --------------------------------------------------------------------------- */

static void read_statement(Block *b, const Tree *tree) {
    switch ((int)tree->kind) {
    case T_SOURCE: read_source(b, tree); break;
    case T_COLUMNS: read_columns(b, tree); break;
    case T_SCALE: read_scale(b, tree); break;
    case T_STANDARDIZE: read_standardize(b, tree); break;
    case T_SPLIT: read_split(b, tree); break;
    case T_MISSING: read_missing(b, tree); break;
    default: b->good = false; break;
    }
}

/* The folder of the file that the tree was read from, "" for the working directory. */
static const char *folder_of(Ctx *ctx, const Tree *tree) {
    const Source *source = source_of(&ctx->sources, tree->span);
    const char *slash = source ? strrchr(source->path, '/') : NULL;
    if (!slash) return "";
    return arena_strndup(ctx->arena, source->path,
                         (size_t)(slash - source->path + (slash == source->path)));
}

static const DlrtDataSpec *data_spec(Ctx *ctx, const Tree *tree) {
    DlrtDataSpec *spec = ARENA_NEW(ctx->arena, DlrtDataSpec);
    *spec = (DlrtDataSpec){
        .name = tree->def.name, .folder = folder_of(ctx, tree), .about = tree->def.doc};
    Block b = {.ctx = ctx, .tree = tree, .spec = spec, .good = true};
    bool any_split = false;
    for (uint32_t i = 0; i < tree->def.body.len; i++) read_statement(&b, tree->def.body.at[i]);
    if (!b.good) return NULL;
    for (uint32_t i = 0; i < b.sources.len; i++) any_split |= b.sources.at[i].is_split;
    if (!b.sources.len) {
        Diag *d = block_error(&b, tree->def.name_span,
                              arena_printf(ctx->arena, "data `%s` has no source", tree->def.name));
        diag_help(ctx, d, "say where it is, as in `source csv(\"file.csv\")`");
    } else if (b.split.begin && !any_split) {
        block_error(&b, b.split,
                    "`split` divides what `source` names, and here every file is a part already");
    }
    spec->nsources = b.sources.len;
    spec->sources = b.sources.at;
    spec->ncolumns = b.columns.len;
    spec->columns = b.columns.at;
    spec->nscales = b.scales.len;
    spec->scales = b.scales.at;
    return b.good ? spec : NULL;
}

/* ---- a data block beside the model that is trained on it ----------------------------------- */

/* The declaration of an input or target of the model; all their names. */
static const Tree *find_port(Ctx *ctx, const Tree *model, Sym name, Names *names) {
    const Tree *found = NULL;
    for (uint32_t i = 0; i < model->def.body.len; i++) {
        const Tree *statement = model->def.body.at[i];
        if (statement->kind != T_INPUT && statement->kind != T_TARGET) continue;
        for (uint32_t k = 0; k < statement->list.items.len; k++) {
            const Tree *decl = statement->list.items.at[k];
            if (decl->kind != T_DECL) continue;
            vec_push(ctx->arena, names, decl->decl.name);
            if (decl->decl.name == name) found = decl;
        }
    }
    return found;
}

static bool check_port(Ctx *ctx, const Tree *model, Sym name, Span span, bool scales) {
    Names names = {0};
    const Tree *port = find_port(ctx, model, name, &names);
    if (!port) {
        Diag *d =
            diag_error(ctx, span, "model `%s` has no input or target `%s`", model->def.name, name);
        nearest_help(ctx, d, name, names.at, names.len);
        return false;
    }
    if (!scales || !port->decl.class_size) return true;
    Diag *d = diag_error(ctx, span, "`%s` is a class and cannot be scaled", name);
    diag_note(ctx, d, port->span, "declared here");
    return false;
}

static Span port_span(const Tree *tree, Sym port) {
    if (tree->kind == T_NAME && tree->name == port) return tree->span;
    if (tree->kind != T_UNARY && tree->kind != T_BINARY) return (Span){0, 0};
    Span a = port_span(tree->op.a, port);
    return a.begin || !tree->op.b ? a : port_span(tree->op.b, port);
}

static bool check_ports(Ctx *ctx, const Tree *model, const Tree *data, const DlrtDataSpec *spec) {
    bool good = true;
    uint32_t scale = 0;
    for (uint32_t i = 0; i < data->def.body.len; i++) {
        const Tree *s = data->def.body.at[i];
        if (s->kind == T_COLUMNS)
            good &= check_port(ctx, model, s->columns.name, s->columns.name_span, false);
        if (s->kind == T_SCALE) {
            Sym port = spec->scales[scale++].port;
            good &= check_port(ctx, model, port, port_span(s->unary.value, port), true);
        }
        for (uint32_t k = 0; s->kind == T_STANDARDIZE && k < s->list.items.len; k++, scale++)
            good &=
                check_port(ctx, model, s->list.items.at[k]->name, s->list.items.at[k]->span, true);
    }
    return good;
}

/* ---- finding them -------------------------------------------------------------------------- */

static void unknown(Ctx *ctx, const Program *program, Space space, Sym name, Span span) {
    Diag *d = diag_error(ctx, span, "there is no %s `%s`", space_word(space), name);
    const char *near = program_nearest(ctx, program, space, name, NULL, 0);
    if (near) diag_help(ctx, d, "did you mean `%s`?", near);
}

/* The spec of a train block, when it, its model's name and its data are right. */
static const DlrtTrainSpec *train_checked(Ctx *ctx, Program *program, const Tree *train) {
    Definition *model = map_get(&program->user[SPACE_MODEL], train->train.model);
    Definition *data = map_get(&program->user[SPACE_DATA], train->train.data);
    const DlrtTrainSpec *spec = train_spec(ctx, train);
    if (!model) unknown(ctx, program, SPACE_MODEL, train->train.model, train->train.model_span);
    if (!data) unknown(ctx, program, SPACE_DATA, train->train.data, train->train.data_span);
    if (!data) return NULL;
    data->is_used = true;
    const DlrtDataSpec *files = data_spec(ctx, data->tree);
    if (!model || !files) return NULL;
    return check_ports(ctx, model->tree, data->tree, files) ? spec : NULL;
}

void check_data(Ctx *ctx, Program *program) {
    for (uint32_t i = 0; i < program->all.len; i++)
        if (program->all.at[i]->space == SPACE_DATA) data_spec(ctx, program->all.at[i]->tree);
    for (uint32_t i = 0; i < program->trains.len; i++)
        train_checked(ctx, program, program->trains.at[i]);
}

const DlrtTrainSpec *sema_train(Ctx *ctx, Program *program, const char *model) {
    if (!model && !program->models.len) return NULL;
    Sym name = model ? sym(ctx, model) : program->models.at[program->models.len - 1];
    for (uint32_t i = program->trains.len; i-- > 0;)
        if (program->trains.at[i]->train.model == name)
            return train_checked(ctx, program, program->trains.at[i]);
    return NULL;
}

const DlrtDataSpec *sema_data(Ctx *ctx, Program *program, const char *data) {
    const Map *known = &program->user[SPACE_DATA];
    Definition *found = NULL;
    if (data)
        found = map_get(known, sym(ctx, data));
    else if (known->len == 1)
        found = known->entries[0].value;
    return found ? data_spec(ctx, found->tree) : NULL;
}
