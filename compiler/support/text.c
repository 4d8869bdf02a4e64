/* support/text.c: a string builder in an arena. */
#include "support/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Text text_new(Arena *arena) {
    return (Text){.arena = arena};
}

static void reserve(Text *text, size_t more) {
    if (text->len + more + 1 <= text->cap) return;
    size_t cap = text->cap ? text->cap : 64;
    while (cap < text->len + more + 1) cap *= 2;
    char *grown = arena_alloc(text->arena, cap);
    if (text->len) memcpy(grown, text->at, text->len);
    text->at = grown;
    text->cap = cap;
}

void text_putn(Text *text, const char *bytes, size_t length) {
    reserve(text, length);
    if (length) memcpy(text->at + text->len, bytes, length);
    text->len += length;
    text->at[text->len] = 0;
}

void text_put(Text *text, const char *string) {
    text_putn(text, string, strlen(string));
}

void text_vprintf(Text *text, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length > 0) {
        reserve(text, (size_t)length);
        vsnprintf(text->at + text->len, (size_t)length + 1, format, again);
        text->len += (size_t)length;
    }
    va_end(again);
}

void text_printf(Text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    text_vprintf(text, format, args);
    va_end(args);
}

void text_number(Text *text, double number) {
    char digits[40];
    if (isnan(number)) {
        text_put(text, "nan");
        return;
    }
    if (isinf(number)) {
        text_put(text, number < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 1;
    do snprintf(digits, sizeof digits, "%.*g", precision, number);
    while (strtod(digits, NULL) != number && ++precision <= 17);
    /* 100 and not 1e+02. */
    if (fabs(number) >= 1 && fabs(number) < 1e15)
        while (strchr(digits, 'e')) snprintf(digits, sizeof digits, "%.*g", ++precision, number);
    char *exponent = strchr(digits, 'e');
    if (!exponent) {
        text_put(text, digits);
        return;
    }
    text_putn(text, digits, (size_t)(exponent - digits));
    text_printf(text, "e%d", (int)strtol(exponent + 1, NULL, 10));
}

const char *text_string(const Text *text) {
    return text->at ? text->at : "";
}
