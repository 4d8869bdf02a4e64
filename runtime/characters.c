/* runtime/characters.c: the characters of texts, numbered.
 *
 * in: code points of all text sources     out: classes 0, 1, … in the order of code points, the
 * newline first where the rows are lines; blocks of the numbers, a byte each when that is enough
 * All sources are looked at together, so that every part numbers alike; and where the weights were
 * trained before, characters have the numbers that they had then.
 */
#include "runtime/private.h"

#include <string.h>

enum { CODE_POINTS = 0x110000 };

typedef struct Numbering {
    Loader *loader;
    int32_t *number; /* of a code point, from 1; 0: does not occur */
    int64_t count;
    bool lines;
} Numbering;

static Characters *characters_of(const Loader *loader, uint32_t source) {
    return loader->sources[source].characters;
}

static void number_all(Numbering *n) {
    for (uint32_t s = 0; s < n->loader->spec->nsources; s++) {
        const Characters *c = characters_of(n->loader, s);
        for (int64_t i = 0; c && i < c->count; i++) n->number[c->codes[i]] = 1;
        n->lines |= c && c->lines;
    }
    if (n->lines) n->number['\n'] = (int32_t)++n->count;
    for (uint32_t code = 0; code < CODE_POINTS; code++)
        if (n->number[code] && !(n->lines && code == '\n')) n->number[code] = (int32_t)++n->count;
}

static void encode(uint32_t code, char *text) {
    int rest = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    *text++ = (char)(lead[rest] | code >> (6 * rest));
    while (rest-- > 0) *text++ = (char)(0x80 | (code >> (6 * rest) & 0x3F));
    *text = 0;
}

/* 0: this is not one character. */
static uint32_t decode(const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    int rest = *p < 0x80 ? 0 : *p < 0xE0 ? 1 : *p < 0xF0 ? 2 : 3;
    uint32_t code = *p & (rest ? 0x3Fu >> rest : 0x7Fu);
    char again[5];
    for (int i = 1; i <= rest; i++) {
        if (!p[i]) return 0;
        code = code << 6 | (p[i] & 0x3F);
    }
    if (code >= CODE_POINTS) return 0;
    encode(code, again);
    return strcmp(again, text) == 0 ? code : 0;
}

/* As the weights know them. */
static bool recall_all(Numbering *n) {
    Loader *loader = n->loader;
    Texts known = {.pool = &loader->pool};
    const char *port = loader->ports[0]->name;
    if (!notes_texts(loader, port, "classes", &known)) return false;
    for (int64_t k = 0; k < known.count; k++) {
        uint32_t code = decode(known.items[k]);
        if (code == 0)
            return error_set(loader->error, (Place){0},
                             "the weights know `%s` as a class of `%s`, and that is no character",
                             error_quote(known.items[k]).text, port);
        n->number[code] = (int32_t)++n->count;
    }
    return true;
}

static bool check_count(const Numbering *n, const DlrtPort *port) {
    if (n->count <= port->classes) return true;
    const char *path = NULL;
    for (uint32_t s = 0; !path; s++) path = n->loader->sources[s].path;
    return error_set(n->loader->error, (Place){.path = path},
                     "this text has %lld distinct characters, but `%s` is class(%lld): it has room "
                     "for %lld",
                     (long long)n->count, port->name, (long long)port->classes,
                     (long long)port->classes);
}

/* The texts of the classes of a port. */
static bool name_classes(const Numbering *n, PortData *port) {
    Pool *pool = &n->loader->data->pool;
    char *texts = pool_take(pool, n->count, 5);
    port->texts = pool_take(pool, n->count, sizeof *port->texts);
    if (!texts || !port->texts) return error_memory(n->loader->error, "the characters");
    for (uint32_t code = 0; code < CODE_POINTS; code++) {
        if (!n->number[code]) continue;
        int64_t k = n->number[code] - 1;
        encode(code, texts + 5 * k);
        port->texts[k] = texts + 5 * k;
    }
    port->ntexts = n->count;
    return notes_put_texts(n->loader, port->name, "classes", port->texts, port->ntexts);
}

/* All ports of a source are windows over the same numbers; a target begins so that it ends one
 * character later than the input. */
static bool number_source(const Numbering *n, SourceRows *source) {
    Loader *loader = n->loader;
    const Characters *c = source->characters;
    int64_t bytes = n->count <= 256 ? 1 : 4;
    unsigned char *values = pool_take(&loader->data->pool, c->count, (size_t)bytes);
    if (!values) return error_memory(loader->error, "the text");
    for (int64_t i = 0; i < c->count; i++) {
        char text[5];
        uint32_t k = (uint32_t)n->number[c->codes[i]] - 1;
        encode(c->codes[i], text);
        if (!n->number[c->codes[i]])
            return error_set(loader->error, (Place){.path = source->path},
                             "`%s` does not occur in the text that the weights were trained on",
                             error_quote(text).text);
        for (int64_t b = 0; b < bytes; b++)
            values[i * bytes + b] = (unsigned char)(k >> (8 * (bytes - 1 - b)));
    }
    for (uint32_t p = 0; p < loader->nports; p++) {
        Block *block = &source->blocks[p];
        int64_t first = p == 0 ? 0 : loader->ports[0]->elements + 1 - block->elements;
        block->type = bytes == 1 ? NUMBER_U8 : NUMBER_I32;
        block->values = values + first * bytes;
    }
    return true;
}

bool characters_map(Loader *loader) {
    Numbering n = {.loader = loader};
    for (uint32_t s = 0; s < loader->spec->nsources; s++) {
        SourceRows *source = &loader->sources[s];
        if (!source->characters) continue;
        if (!n.number) {
            n.number = pool_take(&loader->pool, CODE_POINTS, sizeof *n.number);
            if (!n.number) return error_memory(loader->error, "the characters");
            if (!notes_have(loader->known, loader->ports[0]->name, "classes"))
                number_all(&n);
            else if (!recall_all(&n))
                return false;
            for (uint32_t p = 0; p < loader->nports; p++)
                if (!check_count(&n, loader->ports[p]) ||
                    !name_classes(&n, &loader->data->ports[p]))
                    return false;
        }
        if (!number_source(&n, source)) return false;
    }
    return true;
}
