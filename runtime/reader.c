/* runtime/reader.c: the readers by name, and what they share.
 *
 * in: a source of a data block     out: its rows, as a table, as characters or as blocks
 */
#include "runtime/private.h"

#include <math.h>
#include <string.h>

typedef struct Reader {
    const char *name;
    bool (*read)(Loader *loader, SourceRows *source);
    DlrtNamed named;
} Reader;

#define READER(name, settings, named) {#name, name##_read, named},
static const Reader readers[] = {DLRT_READERS(READER)};
#undef READER

enum { READERS = sizeof readers / sizeof readers[0] };

bool reader_read(Loader *loader, SourceRows *source) {
    const char *name = source->spec->reader ? source->spec->reader : "";
    char known[256] = "";
    for (int i = 0; i < READERS; i++) {
        if (strcmp(readers[i].name, name) == 0) return readers[i].read(loader, source);
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s",
                 i == 0             ? ""
                 : i == READERS - 1 ? " and "
                                    : ", ",
                 readers[i].name);
    }
    return error_set(loader->error, (Place){0}, "no reader is called `%s`: there are %s",
                     error_quote(name).text, known);
}

bool reader_is_file(const DlrtSource *source, const DlrtArgument *argument) {
    bool named_files = false;
    for (int i = 0; i < READERS; i++)
        if (source->reader && strcmp(readers[i].name, source->reader) == 0)
            named_files = readers[i].named == DLRT_NAMED_FILES;
    return argument->kind == DLRT_STRING && (!argument->name || named_files);
}

/* ---- arguments --------------------------------------------------------------------------- */

const DlrtArgument *reader_setting(const SourceRows *source, const char *name) {
    for (uint32_t i = 0; i < source->spec->nargs; i++) {
        const DlrtArgument *argument = &source->spec->args[i];
        if (argument->name && strcmp(argument->name, name) == 0) return argument;
    }
    return NULL;
}

bool reader_count(Loader *loader, const SourceRows *source, const char *name, int64_t least,
                  int64_t *value) {
    const DlrtArgument *argument = reader_setting(source, name);
    if (!argument) return true;
    double number = argument->number;
    bool good = argument->kind == DLRT_NUMBER && number == floor(number) &&
                number >= (double)least && number <= 1e15;
    if (good) *value = (int64_t)number;
    return good || error_set(loader->error, (Place){0}, "%s: `%s` wants a whole number from %lld",
                             source->spec->reader, name, (long long)least);
}

bool reader_flag(Loader *loader, const SourceRows *source, const char *name, bool *value) {
    const DlrtArgument *argument = reader_setting(source, name);
    if (!argument) return true;
    *value = argument->boolean;
    return argument->kind == DLRT_BOOL ||
           error_set(loader->error, (Place){0}, "%s: `%s` wants true or false",
                     source->spec->reader, name);
}

bool reader_files(Loader *loader, const SourceRows *source, const char **paths, uint32_t limit,
                  uint32_t *count) {
    const DlrtSource *spec = source->spec;
    *count = 0;
    for (uint32_t i = 0; i < spec->nargs; i++) {
        const DlrtArgument *argument = &spec->args[i];
        if (argument->name) continue;
        if (argument->kind != DLRT_STRING || *count == limit)
            return error_set(loader->error, (Place){0}, "%s takes the name%s of %s: %s(\"file\"%s)",
                             spec->reader, limit > 1 ? "s" : "", limit > 1 ? "files" : "one file",
                             spec->reader, limit > 1 ? ", …" : "");
        const char *path =
            file_find(&loader->pool, loader->spec, loader->path, argument->string, loader->error);
        if (!path) return false;
        paths[(*count)++] = path;
    }
    return *count > 0 ||
           error_set(loader->error, (Place){0}, "%s needs the name of a file: %s(\"file\")",
                     spec->reader, spec->reader);
}

static bool place_file(Loader *loader, const SourceRows *source, const DlrtArgument *argument,
                       const char **files, uint32_t *next) {
    DlrtError *error = loader->error;
    const char *reader = source->spec->reader;
    int port = argument->name ? loader_find_port(loader, argument->name) : -1;
    if (argument->name && port < 0)
        return error_set(error, (Place){0},
                         "%s: `%s` is no input or target of the model; name one, or give the "
                         "files in the order of the model's inputs and targets",
                         reader, argument->name);
    if (argument->kind != DLRT_STRING)
        return error_set(error, (Place){0}, "%s takes names of files: %s(\"images\", \"labels\")",
                         reader, reader);
    while (port < 0 && *next < loader->nports && files[*next]) ++*next;
    if (port < 0) port = (int)*next;
    if ((uint32_t)port >= loader->nports)
        return error_set(error, (Place){0},
                         "%s has more files than the model has inputs and targets (%u)", reader,
                         loader->nports);
    if (files[port])
        return error_set(error, (Place){0}, "%s: `%s` is given twice", reader,
                         loader->ports[port]->name);
    files[port] = argument->string;
    return true;
}

const char **reader_port_files(Loader *loader, const SourceRows *source) {
    uint32_t next = 0;
    const char **files = pool_take(&loader->pool, loader->nports, sizeof *files);
    if (!files) {
        error_memory(loader->error, "a source");
        return NULL;
    }
    for (uint32_t i = 0; i < source->spec->nargs; i++)
        if (!place_file(loader, source, &source->spec->args[i], files, &next)) return NULL;
    for (uint32_t i = 0; i < loader->nports; i++) {
        if (files[i]) continue;
        error_set(loader->error, (Place){0},
                  "%s has no file for `%s`: it needs one for each input and target",
                  source->spec->reader, loader->ports[i]->name);
        return NULL;
    }
    return files;
}

Pool *reader_pool(Loader *loader, NumberType type) {
    return type == NUMBER_U8 ? &loader->data->pool : &loader->pool;
}

Quoted reader_shape(const DlrtPort *port) {
    Quoted shape = {"one number"};
    size_t used = 0;
    for (uint32_t i = 0; i < port->rank && used + 1 < sizeof shape.text; i++) {
        int n = snprintf(shape.text + used, sizeof shape.text - used, "%s%lld", i ? " x " : "",
                         (long long)port->dims[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    return shape;
}

/* ---- windows ----------------------------------------------------------------------------- */

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static bool is_shuffled(const Loader *loader, const SourceRows *source) {
    const double *percent = loader->spec->percent;
    return source->spec->is_split && !loader->spec->in_order &&
           (percent[DLRT_VALID] > 0 || percent[DLRT_TEST] > 0 || loader->spec->folds);
}

bool reader_windows(Loader *loader, SourceRows *source, int64_t targets, int64_t *unit) {
    int64_t stride = targets;
    if (!reader_count(loader, source, "stride", 1, &stride)) return false;
    *unit = common_divisor(stride, targets);
    source->windows = (Windows){stride / *unit, targets / *unit, targets / *unit - 1};
    if (!is_shuffled(loader, source)) return true;
    if (stride < targets)
        return error_set(loader->error, (Place){0},
                         "%s: with stride %lld the examples overlap, so that a shuffled split "
                         "would ask in validation for what training has seen: say `, in_order` in "
                         "the split",
                         source->spec->reader, (long long)stride);
    *unit = stride;
    source->windows = (Windows){1, 1, 0};
    return true;
}
