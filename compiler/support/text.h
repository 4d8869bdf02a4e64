/* support/text.h: a string builder. */
#ifndef DLC_SUPPORT_TEXT_H
#define DLC_SUPPORT_TEXT_H

#include "support/arena.h"

#include <stdarg.h>

typedef struct Text {
    Arena *arena;
    char *at; /* always NUL-terminated once something was added; NULL before */
    size_t len, cap;
} Text;

Text text_new(Arena *arena);
void text_put(Text *text, const char *string);
void text_putn(Text *text, const char *bytes, size_t length);
void text_printf(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(Text *text, const char *format, va_list args);
/* The shortest decimal form that reads back as the same double; "inf", "-inf", "nan". */
void text_number(Text *text, double number);
/* The string so far, never NULL. */
const char *text_string(const Text *text);

#endif
