/* runtime/sample.c: a class drawn from scores.
 *
 * in:   scores (logarithms of probabilities but for a constant), limits, a number in [0, 1)
 * out:  a class: drawn from softmax(scores / temperature) restricted to the top_k greatest and to
 * the smallest set of greatest ones whose probabilities add up to top_p (Holtzman et al. 2019,
 * arXiv:1904.09751). Temperature 0: the greatest.
 */
#include "runtime/private.h"

#include <math.h>
#include <stdlib.h>

typedef struct Choice {
    double weight;
    int64_t number;
} Choice;

/* Greater weights first; of equal ones the smaller number. */
static int compare(const void *a, const void *b) {
    const Choice *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int64_t greatest(const double *scores, int64_t n) {
    int64_t best = 0;
    for (int64_t k = 1; k < n; k++)
        if (scores[k] > scores[best]) best = k;
    return best;
}

/* How many of the sorted choices remain. */
static int64_t restrict_choices(const Choice *choices, int64_t n, int64_t top_k, double top_p) {
    double sum = 0, part = 0;
    if (top_k > 0 && top_k < n) n = top_k;
    for (int64_t i = 0; i < n; i++) sum += choices[i].weight;
    if (top_p <= 0 || top_p >= 1) return n;
    for (int64_t i = 0; i < n; i++) {
        part += choices[i].weight;
        if (part >= top_p * sum) return i + 1;
    }
    return n;
}

int64_t dlrt_sample(const double *scores, int64_t n, const DlrtSampling *sampling,
                    uint64_t position) {
    if (sampling->temperature <= 0) return greatest(scores, n);
    Choice *choices = malloc((size_t)n * sizeof *choices);
    if (!choices) return greatest(scores, n);
    double largest = scores[greatest(scores, n)], sum = 0;
    for (int64_t k = 0; k < n; k++) {
        double weight = exp((scores[k] - largest) / sampling->temperature);
        choices[k] = (Choice){weight >= 0 ? weight : 0, k}; /* a NaN has no order */
    }
    qsort(choices, (size_t)n, sizeof *choices, compare);
    int64_t kept = restrict_choices(choices, n, sampling->top_k, sampling->top_p);
    for (int64_t i = 0; i < kept; i++) sum += choices[i].weight;
    double u = (double)(shuffle_draw(sampling->seed, UINT64_MAX, position) >> 11) * 0x1p-53 * sum;
    int64_t chosen = 0;
    while (chosen + 1 < kept && u >= choices[chosen].weight) u -= choices[chosen++].weight;
    int64_t result = choices[chosen].number;
    free(choices);
    return result;
}
