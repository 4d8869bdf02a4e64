/* runtime/notes.c: what was read off the training data and belongs to the weights, because other
 * data must be read in the same way: means and deviations, what stands for missing values, the
 * texts of classes.
 *
 * in: numbers and texts of a port, by what they are     out: notes, a key and a text each, which a
 * file of weights keeps; and back
 * invariant: numbers come back as they were; notes are ASCII, whatever the texts are.
 */
#include "runtime/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list ------------------------------------------------------------------------------ */

bool notes_add(Pool *pool, Notes *notes, const char *key, const char *text) {
    if (notes->count == notes->capacity) {
        int64_t capacity = notes->capacity ? notes->capacity * 2 : 8;
        Note *items = pool_take(pool, capacity, sizeof *items);
        if (!items) return false;
        if (notes->count) memcpy(items, notes->items, (size_t)notes->count * sizeof *items);
        notes->items = items;
        notes->capacity = capacity;
    }
    Note *note = &notes->items[notes->count];
    *note = (Note){pool_text(pool, key), pool_text(pool, text)};
    if (!note->key || !note->text) return false;
    notes->count++;
    return true;
}

bool notes_copy(Pool *pool, Notes *to, const Notes *from) {
    *to = (Notes){0};
    for (int64_t i = 0; i < from->count; i++)
        if (!notes_add(pool, to, from->items[i].key, from->items[i].text)) return false;
    return true;
}

/* "x.mean" */
static char *key_of(Pool *pool, const char *port, const char *what) {
    size_t room = strlen(port) + strlen(what) + 2;
    char *key = pool_take(pool, (int64_t)room, 1);
    if (key) snprintf(key, room, "%s.%s", port, what);
    return key;
}

static const char *find(const Notes *notes, const char *port, const char *what) {
    size_t length = strlen(port);
    for (int64_t i = 0; notes && i < notes->count; i++) {
        const char *key = notes->items[i].key;
        if (strncmp(key, port, length) == 0 && key[length] == '.' &&
            strcmp(key + length + 1, what) == 0)
            return notes->items[i].text;
    }
    return NULL;
}

bool notes_have(const Notes *notes, const char *port, const char *what) {
    return find(notes, port, what) != NULL;
}

static bool fail(const Loader *loader, const char *port, const char *what) {
    return error_set(loader->error, (Place){0},
                     "the weights' note `data.%s.%s` is damaged, or of another model", port, what);
}

/* ---- numbers ------------------------------------------------------------------------------- */

bool notes_put_numbers(Loader *loader, const char *port, const char *what, const double *values,
                       int64_t n) {
    enum { WIDEST = 26 }; /* of -1.2345678901234567e-308 and a blank */
    Pool *pool = &loader->pool;
    char *text = pool_take(pool, size_product(n, WIDEST) + 1, 1), *to = text;
    char *key = key_of(pool, port, what);
    if (!text || !key) return error_memory(loader->error, "notes on the data");
    for (int64_t i = 0; i < n; i++) {
        char *begin = to;
        to += snprintf(to, WIDEST, isnan(values[i]) ? "%s?" : "%s%.17g", i ? " " : "", values[i]);
        for (; begin < to; begin++)
            if (*begin == ',') *begin = '.'; /* whatever the locale */
    }
    return notes_add(&loader->data->pool, &loader->data->notes, key, text) ||
           error_memory(loader->error, "notes on the data");
}

/* The next word of a note, at most `room` - 1 bytes of it; false at the end. */
static bool next_word(const char **at, char *word, size_t room) {
    size_t length = strcspn(*at, " ");
    if (!length) return false;
    size_t n = length < room ? length : room - 1;
    memcpy(word, *at, n);
    word[n] = 0;
    *at += length;
    if (**at == ' ') ++*at;
    return true;
}

bool notes_numbers(const Loader *loader, const char *port, const char *what, double *values,
                   int64_t n) {
    const char *at = find(loader->known, port, what);
    char word[32];
    for (int64_t i = 0; i < n; i++) {
        values[i] = NAN;
        if (!at || !next_word(&at, word, sizeof word)) return fail(loader, port, what);
        if (strcmp(word, "?") != 0 && number_parse(word, &values[i]) != NUMBER_FINITE)
            return fail(loader, port, what);
    }
    return !*at || fail(loader, port, what);
}

/* ---- texts --------------------------------------------------------------------------------- */

static const char hexadecimal[] = "0123456789ABCDEF";

/* Separated by blanks; what is no printable ASCII, and `%`, as %20. */
bool notes_put_texts(Loader *loader, const char *port, const char *what, const char *const *texts,
                     int64_t n) {
    Pool *pool = &loader->pool;
    int64_t room = 1;
    for (int64_t i = 0; i < n; i++) room += 3 * (int64_t)strlen(texts[i]) + 1;
    char *text = pool_take(pool, room, 1), *to = text, *key = key_of(pool, port, what);
    if (!text || !key) return error_memory(loader->error, "notes on the data");
    for (int64_t i = 0; i < n; i++) {
        if (i) *to++ = ' ';
        for (const unsigned char *c = (const unsigned char *)texts[i]; *c; c++) {
            if (*c > ' ' && *c < 0x7F && *c != '%') {
                *to++ = (char)*c;
                continue;
            }
            *to++ = '%';
            *to++ = hexadecimal[*c >> 4];
            *to++ = hexadecimal[*c & 15];
        }
    }
    return notes_add(&loader->data->pool, &loader->data->notes, key, text) ||
           error_memory(loader->error, "notes on the data");
}

static int digit_of(char c) {
    const char *found = c ? strchr(hexadecimal, c) : NULL;
    return found ? (int)(found - hexadecimal) : -1;
}

/* In place; false when it is damaged. */
static bool decode(char *text) {
    char *to = text;
    for (; *text; text++) {
        if (*text != '%') {
            *to++ = *text;
            continue;
        }
        int high = digit_of(text[1]), low = high < 0 ? -1 : digit_of(text[2]);
        if (low < 0 || high + low == 0) return false;
        *to++ = (char)(high << 4 | low);
        text += 2;
    }
    *to = 0;
    return true;
}

bool notes_texts(const Loader *loader, const char *port, const char *what, Texts *texts) {
    const char *at = find(loader->known, port, what);
    if (!at) return fail(loader, port, what);
    while (*at) {
        int64_t room = (int64_t)strcspn(at, " ") + 1, before = texts->count;
        char *word = pool_take(texts->pool, room, 1);
        if (!word) return error_memory(loader->error, "notes on the data");
        if (!next_word(&at, word, (size_t)room) || !decode(word)) return fail(loader, port, what);
        int64_t k = texts_add(texts, word);
        if (k < 0) return error_memory(loader->error, "notes on the data");
        if (k != before) return fail(loader, port, what);
    }
    return true;
}

const char *notes_text(Pool *pool, const Notes *notes, const char *port, const char *what,
                       int64_t k) {
    const char *at = find(notes, port, what);
    while (at && k-- > 0) {
        at += strcspn(at, " ");
        if (*at) at++;
    }
    int64_t room = at && k < 0 ? (int64_t)strcspn(at, " ") + 1 : 1;
    char *word = room > 1 ? pool_take(pool, room, 1) : NULL;
    return word && next_word(&at, word, (size_t)room) && decode(word) ? word : NULL;
}
