/* runtime/nearest.c: the name that was meant.
 *
 * in: a name that there is not, those that there are     out: the nearest of these, if it is near
 * The compiler, which sees nothing of the runtime, does the same for its messages (support/diag.c).
 */
#include "runtime/dlrt.h"

#include <string.h>

enum { LONGEST = 64 };

/* Edit distance of two short texts; letters that changed places count as one edit. */
static size_t distance(const char *a, const char *b) {
    size_t rows[3][LONGEST + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na > LONGEST || nb > LONGEST) return LONGEST;
    for (size_t j = 0; j <= nb; j++) rows[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        const size_t *before = rows[(i + 1) % 3], *above = rows[(i - 1) % 3];
        size_t *row = rows[i % 3];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[na % 3][nb];
}

const char *dlrt_nearest(const char *name, const char *const *names, size_t count) {
    const char *best = NULL;
    size_t least = strlen(name) / 3 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(name, names[i]);
        if (d > least || d >= strlen(name) || (best && d == least)) continue;
        best = names[i];
        least = d;
    }
    return best;
}
