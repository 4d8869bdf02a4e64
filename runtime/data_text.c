/* runtime/data_text.c: text, character by character: windows over a whole text, or a line each.
 *
 * in: a file in UTF-8     out: its characters, as code points; characters.c numbers them
 *
 * text: rows are windows; the input is T characters and the target the T that begin one later.
 * lines: a row is a newline, the line, and newlines up to T + 1 characters; input and target are
 * the first and the last T of them.
 */
#include "runtime/private.h"

#include <string.h>

typedef struct TextFile {
    Loader *loader;
    const char *path;
    const unsigned char *at, *end;
    int64_t line, column; /* of `at` */
} TextFile;

static bool fail_here(const TextFile *t, const char *message) {
    return error_set(t->loader->error, (Place){t->path, t->line, t->column}, "%s", message);
}

/* ---- the model ----------------------------------------------------------------------------- */

static bool is_class_row(const DlrtPort *port) {
    return port->classes > 0 && port->rank <= 1 && port->elements > 0;
}

static bool check_model(const Loader *loader, const char *reader) {
    const DlrtModel *model = loader->model;
    if (model->ninputs == 1 && model->ntargets <= 1 && is_class_row(&model->inputs[0]) &&
        (!model->ntargets || (is_class_row(&model->targets[0]) &&
                              model->targets[0].elements <= model->inputs[0].elements)))
        return true;
    return error_set(loader->error, (Place){0},
                     "%s is for a model with one input of T classes and one target of no more: "
                     "input t[64]: class(65); target y[64]: class(65)",
                     reader);
}

/* ---- characters ---------------------------------------------------------------------------- */

/* The next character; 0 where the bytes are no UTF-8. */
static uint32_t next_character(TextFile *t) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = *t->at;
    int bytes = first < 0x80             ? 1
                : (first & 0xE0) == 0xC0 ? 2
                : (first & 0xF0) == 0xE0 ? 3
                : (first & 0xF8) == 0xF0 ? 4
                                         : 0;
    if (bytes == 0 || t->end - t->at < bytes) return 0;
    uint32_t code = bytes == 1 ? first : first & (0x7Fu >> bytes);
    for (int i = 1; i < bytes; i++) {
        if ((t->at[i] & 0xC0) != 0x80) return 0;
        code = code << 6 | (t->at[i] & 0x3Fu);
    }
    bool surrogate = code >= 0xD800 && code < 0xE000;
    if (code < least[bytes] || code > 0x10FFFF || surrogate) return 0;
    t->at += bytes;
    return code;
}

static bool take_character(TextFile *t, uint32_t *code) {
    if (*t->at == 0) return fail_here(t, "this file has a zero byte, so it is no text");
    *code = next_character(t);
    if (*code == 0) return fail_here(t, "this is no UTF-8: the bytes here are no character");
    t->column++;
    if (*code == '\n') t->line++, t->column = 1;
    return true;
}

static bool open_text(Loader *loader, const SourceRows *source, TextFile *t) {
    uint32_t files;
    Bytes bytes;
    *t = (TextFile){.loader = loader, .line = 1, .column = 1};
    if (!check_model(loader, source->spec->reader)) return false;
    if (!reader_files(loader, source, &t->path, 1, &files)) return false;
    if (!file_read(&loader->pool, t->path, SIZE_MAX / 8, &bytes, loader->error)) return false;
    bool mark = bytes.size >= 3 && memcmp(bytes.data, "\xEF\xBB\xBF", 3) == 0;
    t->at = bytes.data + (mark ? 3 : 0);
    t->end = bytes.data + bytes.size;
    return true;
}

static bool keep(Loader *loader, SourceRows *source, const TextFile *t, uint32_t *codes,
                 int64_t count) {
    Characters *characters = pool_take(&loader->pool, 1, sizeof *characters);
    if (!characters) return error_memory(loader->error, "the text");
    *characters = (Characters){.codes = codes, .count = count};
    source->characters = characters;
    source->path = t->path;
    return true;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Where the characters of each port will be; the values come with the numbering. */
static bool make_blocks(Loader *loader, SourceRows *source, int64_t step) {
    source->blocks = pool_take(&loader->pool, 2, sizeof *source->blocks);
    if (!source->blocks) return error_memory(loader->error, "a source");
    for (uint32_t p = 0; p < loader->nports; p++)
        source->blocks[p] = (Block){.path = source->path,
                                    .rows = source->rows,
                                    .elements = loader->ports[p]->elements,
                                    .step = step};
    return true;
}

bool text_read(Loader *loader, SourceRows *source) {
    TextFile t;
    int64_t count = 0, unit;
    if (!open_text(loader, source, &t)) return false;
    uint32_t *codes = pool_take(&loader->pool, t.end - t.at, sizeof *codes);
    if (!codes) return error_memory(loader->error, "the text");
    while (t.at < t.end)
        if (!take_character(&t, &codes[count++])) return false;
    int64_t ntargets = loader->model->ntargets;
    int64_t window = loader->ports[0]->elements + ntargets;
    if (!reader_windows(loader, source, loader->ports[ntargets]->elements, &unit)) return false;
    if (count < window)
        return error_set(loader->error, (Place){.path = t.path},
                         "this text has %lld character%s, and an example takes %lld",
                         (long long)count, count == 1 ? "" : "s", (long long)window);
    source->rows = (count - window) / unit + 1;
    return keep(loader, source, &t, codes, count) && make_blocks(loader, source, unit);
}

/* ---- lines ----------------------------------------------------------------------------------- */

typedef struct Lines {
    TextFile text;
    uint32_t *codes;
    int64_t count, capacity;
    int64_t length; /* of a row */
    bool cut;
} Lines;

static bool add_row(Lines *lines) {
    Pool *pool = &lines->text.loader->pool;
    if (lines->count + lines->length > lines->capacity) {
        int64_t capacity = (lines->capacity + lines->length) * 2;
        uint32_t *codes = pool_take(pool, capacity, sizeof *codes);
        if (!codes) return error_memory(lines->text.loader->error, "the lines");
        if (lines->count) memcpy(codes, lines->codes, (size_t)lines->count * sizeof *codes);
        lines->codes = codes;
        lines->capacity = capacity;
    }
    for (int64_t i = 0; i < lines->length; i++) lines->codes[lines->count + i] = '\n';
    lines->count += lines->length;
    return true;
}

static bool at_line_end(const TextFile *t) {
    return t->at == t->end || *t->at == '\n' ||
           (*t->at == '\r' && (t->at + 1 == t->end || t->at[1] == '\n'));
}

/* A line or the end of one. A line that is cut has no end: its row is full. */
static bool read_line(Lines *lines) {
    TextFile *t = &lines->text;
    int64_t line = t->line, length = 0, longest = lines->length - (lines->cut ? 1 : 2);
    uint32_t code;
    if (at_line_end(t)) return take_character(t, &code);
    if (!add_row(lines)) return false;
    uint32_t *row = lines->codes + lines->count - lines->length;
    while (!at_line_end(t)) {
        if (!take_character(t, &code)) return false;
        if (++length <= longest) row[length] = code;
    }
    if (length <= longest || lines->cut) return true;
    return error_set(t->loader->error, (Place){t->path, line, 0},
                     "this line has %lld characters; `%s` takes %lld, with one for the beginning: "
                     "say cut: true to cut long lines",
                     (long long)length, t->loader->ports[0]->name, (long long)lines->length - 1);
}

bool lines_read(Loader *loader, SourceRows *source) {
    Lines lines = {.length = 0};
    if (!open_text(loader, source, &lines.text)) return false;
    if (!reader_flag(loader, source, "cut", &lines.cut)) return false;
    int64_t ntargets = loader->model->ntargets;
    int64_t elements = loader->ports[0]->elements;
    if (loader->ports[ntargets]->elements != elements || elements >= INT32_MAX)
        return error_set(loader->error, (Place){0},
                         "lines is for a model whose target has as many elements as its input");
    lines.length = elements + 1;
    while (lines.text.at < lines.text.end)
        if (!read_line(&lines)) return false;
    if (lines.count == 0)
        return error_set(loader->error, (Place){.path = lines.text.path},
                         "this file has no lines with characters");
    source->rows = lines.count / lines.length;
    if (!keep(loader, source, &lines.text, lines.codes, lines.count)) return false;
    source->characters->lines = true;
    return make_blocks(loader, source, lines.length);
}
