/* runtime/header.c: the header of a safetensors file.
 *
 * in: a file: 8 bytes with the header's length, little-endian; the header, JSON; the data
 *     header = { "__metadata__": { text: text … }, NAME: { "dtype": TYPE, "shape": [ … ],
 *     "data_offsets": [ begin, end ] } … }
 * out: SavedHeader
 * invariant: what comes out is consistent: sizes are shape times type, offsets are within the file,
 * and the tensors cover the data without gaps and without overlapping. The grammar is fixed and
 * flat, so the parser does not recurse and there is no depth to limit.
 */
#include "runtime/private.h"

#include <stdlib.h>
#include <string.h>

/* As in the reference implementation of the format. */
#define HEADER_LIMIT 100000000u

typedef struct Parser {
    Pool *pool;
    const char *path;
    const char *begin, *at, *end;
    SavedHeader *header;
    DlrtError *error;
} Parser;

static bool fail(const Parser *p, const char *what) {
    return error_set(p->error, (Place){.path = p->path},
                     "the header of this safetensors file is damaged at byte %lld: %s",
                     (long long)(p->at - p->begin) + 8, what);
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void skip_space(Parser *p) {
    while (p->at < p->end && strchr(" \t\r\n", *p->at) && *p->at) p->at++;
}

static bool peek(Parser *p, char c) {
    skip_space(p);
    return p->at < p->end && *p->at == c;
}

static bool accept(Parser *p, char c) {
    if (!peek(p, c)) return false;
    p->at++;
    return true;
}

static bool expect(Parser *p, char c) {
    char what[32];
    if (accept(p, c)) return true;
    snprintf(what, sizeof what, "expected `%c`", c);
    return fail(p, what);
}

static bool parse_hex(Parser *p, unsigned *value) {
    *value = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *found = p->at < p->end && *p->at ? strchr(digits, *p->at) : NULL;
        if (!found) return fail(p, "expected four hexadecimal digits");
        *value = *value * 16 + (unsigned)(found - digits) % 16;
    }
    return true;
}

static char *put_utf8(char *to, unsigned c) {
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

/* After the backslash. An escape is never longer in UTF-8 than as it was written. */
static bool parse_escape(Parser *p, char **to) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *found = p->at < p->end && *p->at ? strchr(from, *p->at) : NULL;
    unsigned c, low;
    if (found) {
        *(*to)++ = into[found - from];
        p->at++;
        return true;
    }
    if (p->at == p->end || *p->at != 'u') return fail(p, "unknown escape");
    p->at++;
    if (!parse_hex(p, &c)) return false;
    if (c >= 0xDC00 && c < 0xE000) return fail(p, "half of a surrogate pair");
    if (c >= 0xD800 && c < 0xDC00) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
            return fail(p, "half of a surrogate pair");
        p->at += 2;
        if (!parse_hex(p, &low)) return false;
        if (low < 0xDC00 || low >= 0xE000) return fail(p, "half of a surrogate pair");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    if (c == 0) return fail(p, "a zero character in a text");
    *to = put_utf8(*to, c);
    return true;
}

static bool parse_string(Parser *p, char **string) {
    if (!expect(p, '"')) return false;
    const char *close = p->at;
    while (close < p->end && *close != '"') close += *close == '\\' && close + 1 < p->end ? 2 : 1;
    if (close >= p->end) return fail(p, "a text that does not end");
    char *to = *string = pool_take(p->pool, close - p->at + 1, 1);
    if (!to) return error_memory(p->error, "the header of a safetensors file");
    while (p->at < close) {
        unsigned char c = (unsigned char)*p->at++;
        if (c < 0x20) return fail(p, "a control character in a text");
        if (c != '\\')
            *to++ = (char)c;
        else if (!parse_escape(p, &to))
            return false;
    }
    p->at = close + 1;
    return true;
}

static bool parse_whole(Parser *p, uint64_t *value) {
    skip_space(p);
    const char *begin = p->at;
    *value = 0;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
        unsigned digit = (unsigned)(*p->at - '0');
        if (*value > ((uint64_t)INT64_MAX - digit) / 10)
            return fail(p, "a number that is too large");
        *value = *value * 10 + digit;
    }
    if (p->at == begin) return fail(p, "expected a whole number");
    if (*begin == '0' && p->at - begin > 1) return fail(p, "a number that begins with 0");
    return true;
}

/* ---- entries ----------------------------------------------------------------------------- */

static bool parse_shape(Parser *p, SavedTensor *tensor) {
    enum { MAX_RANK = sizeof tensor->dims / sizeof tensor->dims[0] };
    uint64_t dim;
    if (!expect(p, '[')) return false;
    if (accept(p, ']')) return true;
    do {
        if (tensor->rank == MAX_RANK) return fail(p, "a tensor with more than 16 dimensions");
        if (!parse_whole(p, &dim)) return false;
        tensor->dims[tensor->rank++] = (int64_t)dim;
    } while (accept(p, ','));
    return expect(p, ']');
}

static bool parse_offsets(Parser *p, SavedTensor *tensor) {
    return expect(p, '[') && parse_whole(p, &tensor->begin) && expect(p, ',') &&
           parse_whole(p, &tensor->end) && expect(p, ']');
}

static bool parse_type(Parser *p, SavedTensor *tensor) {
    char *type;
    if (!parse_string(p, &type)) return false;
    snprintf(tensor->type, sizeof tensor->type, "%s", type);
    return true;
}

static bool parse_tensor(Parser *p, SavedTensor *tensor) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    static bool (*const parsers[])(Parser *, SavedTensor *) = {parse_type, parse_shape,
                                                               parse_offsets};
    bool seen[3] = {false};
    if (!expect(p, '{')) return false;
    do {
        char *key;
        int k = 0;
        if (!parse_string(p, &key) || !expect(p, ':')) return false;
        while (k < 3 && strcmp(key, keys[k]) != 0) k++;
        if (k == 3) return fail(p, "a tensor has dtype, shape and data_offsets, nothing else");
        if (seen[k]) return fail(p, "a key that is there twice");
        seen[k] = true;
        if (!parsers[k](p, tensor)) return false;
    } while (accept(p, ','));
    if (!seen[0] || !seen[1] || !seen[2])
        return fail(p, "a tensor without dtype, shape or data_offsets");
    return expect(p, '}');
}

static bool parse_metadata(Parser *p) {
    SavedHeader *header = p->header;
    if (!expect(p, '{')) return false;
    if (accept(p, '}')) return true;
    do {
        char *key, *value;
        if (!parse_string(p, &key) || !expect(p, ':') || !parse_string(p, &value)) return false;
        if (strcmp(key, "step") == 0) header->step = value;
        if (strcmp(key, "seed") == 0) header->seed = value;
        if (strcmp(key, "epoch") == 0) header->epoch = value;
        if (strncmp(key, "data.", 5) == 0 && !notes_add(p->pool, &header->notes, key + 5, value))
            return error_memory(p->error, "the header of a safetensors file");
    } while (accept(p, ','));
    return expect(p, '}');
}

static bool add_tensor(Parser *p, char *name) {
    SavedHeader *header = p->header;
    if (header->count == header->capacity) {
        int64_t capacity = header->capacity ? header->capacity * 2 : 16;
        SavedTensor *tensors = pool_take(p->pool, capacity, sizeof *tensors);
        if (!tensors) return error_memory(p->error, "the header of a safetensors file");
        if (header->count)
            memcpy(tensors, header->tensors, (size_t)header->count * sizeof *tensors);
        header->tensors = tensors;
        header->capacity = capacity;
    }
    SavedTensor *tensor = &header->tensors[header->count++];
    tensor->name = name;
    return parse_tensor(p, tensor);
}

static bool parse_entries(Parser *p) {
    bool metadata = false;
    if (!expect(p, '{')) return false;
    if (!accept(p, '}')) {
        do {
            char *name;
            if (!parse_string(p, &name) || !expect(p, ':')) return false;
            if (strcmp(name, "__metadata__") != 0) {
                if (!add_tensor(p, name)) return false;
                continue;
            }
            if (metadata) return fail(p, "a key that is there twice");
            metadata = true;
            if (!parse_metadata(p)) return false;
        } while (accept(p, ','));
        if (!expect(p, '}')) return false;
    }
    skip_space(p);
    return p->at == p->end || fail(p, "text after the end");
}

/* ---- checks ------------------------------------------------------------------------------ */

static int64_t type_bytes(const char *type) {
    static const struct {
        const char *type;
        int64_t bytes;
    } types[] = {{"F64", 8}, {"F32", 4}, {"F16", 2},  {"BF16", 2}, {"I64", 8},
                 {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},  {"U32", 4},
                 {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"C64", 8}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].type, type) == 0) return types[i].bytes;
    return -1;
}

static int compare_begins(const void *a, const void *b) {
    const SavedTensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int compare_names(const void *a, const void *b) {
    const SavedTensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool check_tensor(const Parser *p, const SavedTensor *tensor, uint64_t size) {
    Place place = {.path = p->path};
    int64_t bytes = type_bytes(tensor->type);
    const char *name = tensor->name;
    if (bytes < 0)
        return error_set(p->error, place, "tensor `%s` is of type `%s`, which is not known",
                         error_quote(name).text, tensor->type);
    for (uint32_t i = 0; i < tensor->rank; i++) bytes = size_product(bytes, tensor->dims[i]);
    if (tensor->begin > tensor->end || tensor->end > size)
        return error_set(p->error, place,
                         "tensor `%s` is at bytes %llu to %llu, but the file has %llu bytes of "
                         "data: it is damaged or cut off",
                         error_quote(name).text, (unsigned long long)tensor->begin,
                         (unsigned long long)tensor->end, (unsigned long long)size);
    if (bytes < 0 || (uint64_t)bytes != tensor->end - tensor->begin)
        return error_set(p->error, place, "tensor `%s` has %llu bytes, which is not its shape's",
                         error_quote(name).text, (unsigned long long)(tensor->end - tensor->begin));
    return true;
}

static bool check_tensors(const Parser *p, uint64_t size) {
    SavedHeader *header = p->header;
    Place place = {.path = p->path};
    uint64_t next = 0;
    for (int64_t i = 0; i < header->count; i++)
        if (!check_tensor(p, &header->tensors[i], size)) return false;
    if (header->count)
        qsort(header->tensors, (size_t)header->count, sizeof *header->tensors, compare_begins);
    for (int64_t i = 0; i < header->count; next = header->tensors[i++].end)
        if (header->tensors[i].begin != next)
            return error_set(p->error, place, "tensor `%s` %s the tensor before it",
                             error_quote(header->tensors[i].name).text,
                             header->tensors[i].begin < next ? "overlaps" : "does not follow");
    if (next != size)
        return error_set(p->error, place, "the tensors take %llu bytes, but the file has %llu",
                         (unsigned long long)next, (unsigned long long)size);
    if (header->count)
        qsort(header->tensors, (size_t)header->count, sizeof *header->tensors, compare_names);
    for (int64_t i = 1; i < header->count; i++)
        if (strcmp(header->tensors[i - 1].name, header->tensors[i].name) == 0)
            return error_set(p->error, place, "tensor `%s` is there twice",
                             error_quote(header->tensors[i].name).text);
    return true;
}

bool header_parse(Pool *pool, const Bytes *file, const char *path, SavedHeader *header,
                  DlrtError *error) {
    uint64_t length = 0;
    Place place = {.path = path};
    *header = (SavedHeader){0};
    if (file->size < 8)
        return error_set(error, place, "this is no safetensors file: it has only %zu bytes",
                         file->size);
    for (int i = 7; i >= 0; i--) length = length << 8 | file->data[i];
    if (length > HEADER_LIMIT || length > file->size - 8)
        return error_set(error, place,
                         "this is no safetensors file, or it is cut off: a header of %llu bytes in "
                         "a file of %zu",
                         (unsigned long long)length, file->size);
    const char *text = (const char *)file->data + 8;
    Parser parser = {pool, path, text, text, text + length, header, error};
    header->data_begin = 8 + length;
    return parse_entries(&parser) && check_tensors(&parser, file->size - 8 - length);
}
