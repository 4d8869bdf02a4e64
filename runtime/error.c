/* runtime/error.c: what went wrong, in the user's terms.
 *
 * in: a place and a format     out: a filled DlrtError; always ends in NUL, cut when too long
 */
#include "runtime/private.h"

#include <stdarg.h>
#include <string.h>

bool error_set(DlrtError *error, Place place, const char *format, ...) {
    va_list args;
    if (!error) return false;
    *error = (DlrtError){.line = place.line, .column = place.column};
    if (place.path) snprintf(error->path, sizeof error->path, "%s", place.path);
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return false;
}

bool error_memory(DlrtError *error, const char *what) {
    return error_set(error, (Place){0}, "not enough memory for %s", what);
}

Quoted error_quote(const char *text) {
    Quoted quoted;
    size_t length = strlen(text), limit = 48, n = length < limit ? length : limit;
    if (n < length)
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--; /* not within a character */
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        quoted.text[i] = (char)(c < 0x20 || c == 0x7F ? ' ' : c);
    }
    memcpy(quoted.text + n, n < length ? "..." : "", n < length ? 4 : 1);
    return quoted;
}
