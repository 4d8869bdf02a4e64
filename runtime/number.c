/* runtime/number.c: decimal numbers from text, the same in every locale.
 *
 * in: the text of a field     out: the nearest double
 * Accepted: blanks, [+-] digits [. digits] [e [+-] digits], blanks. No hexadecimal, inf or nan.
 */
#include "runtime/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A double is decided by at most 767 digits (the longest halfway case); of further ones it only
 * matters whether one of them is not zero. */
enum { MAX_DIGITS = 780, MAX_EXPONENT = 100000 };

typedef struct Decimal {
    char digits[MAX_DIGITS + 1];
    int count;
    int64_t exponent; /* value = digits * 10^exponent */
    bool more;        /* a digit that was not kept is not zero */
    bool any;
} Decimal;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static void put_digit(Decimal *d, char c, bool fraction) {
    d->any = true;
    if (d->count == 0 && c == '0') {
        d->exponent -= fraction;
    } else if (d->count < MAX_DIGITS) {
        d->digits[d->count++] = c;
        d->exponent -= fraction;
    } else {
        d->more = d->more || c != '0';
        d->exponent += !fraction;
    }
}

static const char *scan_exponent(const char *s, int64_t *exponent) {
    const char *p = s + 1;
    bool negative = *p == '-';
    int64_t value = 0;
    if (*p == '-' || *p == '+') p++;
    if (!is_digit(*p)) return s;
    for (; is_digit(*p); p++)
        if (value < MAX_EXPONENT * (int64_t)1000) value = value * 10 + (*p - '0');
    *exponent += negative ? -value : value;
    return p;
}

/* strtod sees an integer and an exponent only, so that no locale's decimal point matters. */
static double round_decimal(Decimal *d) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (d->count == 0) return 0;
    if (d->count <= 15 && d->exponent >= -22 && d->exponent <= 22) {
        /* Both are exact doubles, so one operation rounds correctly. */
        double value = 0;
        for (int i = 0; i < d->count; i++) value = value * 10 + (d->digits[i] - '0');
        return d->exponent < 0 ? value / powers[-d->exponent] : value * powers[d->exponent];
    }
    char text[MAX_DIGITS + 32];
    int64_t exponent = d->exponent;
    memcpy(text, d->digits, (size_t)d->count);
    if (exponent > MAX_EXPONENT) exponent = MAX_EXPONENT;
    if (exponent < -MAX_EXPONENT) exponent = -MAX_EXPONENT;
    if (d->more) text[d->count - 1] = '1'; /* only reached with MAX_DIGITS digits */
    snprintf(text + d->count, sizeof text - (size_t)d->count, "e%lld", (long long)exponent);
    return strtod(text, NULL);
}

NumberKind number_parse(const char *text, double *value) {
    Decimal decimal;
    const char *p = text;
    decimal.count = 0;
    decimal.exponent = 0;
    decimal.more = decimal.any = false;
    while (is_blank(*p)) p++;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    for (; is_digit(*p); p++) put_digit(&decimal, *p, false);
    if (*p == '.')
        for (p++; is_digit(*p); p++) put_digit(&decimal, *p, true);
    if (!decimal.any) return NUMBER_NOT;
    if (*p == 'e' || *p == 'E') p = scan_exponent(p, &decimal.exponent);
    while (is_blank(*p)) p++;
    if (*p) return NUMBER_NOT;
    double magnitude = round_decimal(&decimal);
    if (!isfinite(magnitude)) return NUMBER_TOO_LARGE;
    *value = negative ? -magnitude : magnitude;
    return NUMBER_FINITE;
}

bool number_is_missing(const char *text) {
    while (is_blank(*text)) text++;
    size_t length = strlen(text);
    while (length && is_blank(text[length - 1])) length--;
    switch (length) {
    case 0: return true;
    case 1: return text[0] == '?';
    case 2: return strncmp(text, "NA", 2) == 0;
    case 3: return strncasecmp(text, "nan", 3) == 0 || strncmp(text, "N/A", 3) == 0;
    case 4: return strncasecmp(text, "null", 4) == 0;
    default: return false;
    }
}
