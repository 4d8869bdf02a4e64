/* A network in a C program: trains examples/digits.dl with nothing but digits.o and digits.h, which
 *
 *     dlc ../digits.dl compile -o digits.o
 *
 * writes, and the C library for reading the file and printing. It does what `dlc ../digits.dl
 * train` does, in the same order, and so gets the same bits.
 *
 *     ./train ../data/digits.csv [parameters.bin]
 */
#include "digits.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 64, CLASSES = 10, MOST = 4096, EPOCHS = 60, SEED = 1 };

/* The examples, as the data block of digits.dl makes them. */
static float images[MOST][PIXELS];
static int32_t labels[MOST];
static int count;

/* All memory of the model: aligned to 64 bytes, of sizes known when compiling. */
#if defined(__GNUC__)
#define ALIGNED __attribute__((aligned(64)))
#else
#error "say here how this compiler aligns to 64 bytes"
#endif
static float params[DIGITS_PARAMS] ALIGNED;
static float state[DIGITS_STATE] ALIGNED;
static char arena[DIGITS_ARENA] ALIGNED;

/* One batch. */
static float x[DIGITS_BATCH][PIXELS], p[DIGITS_BATCH][CLASSES];
static int32_t y[DIGITS_BATCH];

/* ---- data -------------------------------------------------------------------------------- */

/* Rows of 64 numbers and a digit; `scale x / 16`. */
static int read_digits(const char *path) {
    FILE *file = fopen(path, "r");
    int value;
    if (!file) return 0;
    for (count = 0; count < MOST && fscanf(file, "%d", &value) == 1; count++) {
        for (int i = 0; i < PIXELS; i++) {
            images[count][i] = (float)value / 16;
            if (fscanf(file, ",%d", &value) != 1) return 0;
        }
        labels[count] = value;
    }
    fclose(file);
    return count > 0;
}

/* ---- the order of the examples ----------------------------------------------------------- */

/* dlc's random numbers for orders: number `position` of stream `stream` is a function of these and
 * the seed (SplitMix64's finaliser over a counter). */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t draw(uint64_t seed, uint64_t stream, uint64_t position) {
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t key = mix(mix(seed + golden) + (stream + 1) * golden);
    return mix(key + (position + 1) * golden);
}

/* Fisher and Yates, from the end. Stream 0 splits the data; stream e is the order of epoch e. */
static void shuffle(int *order, int n, uint64_t stream) {
    uint64_t position = 0;
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        uint64_t bound = (uint64_t)i + 1, excess = (0 - bound) % bound, number;
        do number = draw(SEED, stream, position++);
        while (number < excess);
        int j = (int)(number % bound), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* `split train 70, valid 10, test 20`: the rows of each part, in ascending order. */
static int part[3][MOST], parts[3];

static void split(void) {
    static int order[MOST];
    static unsigned char part_of[MOST];
    parts[1] = (int)(count * 0.10 + 0.5);
    parts[2] = (int)(count * 0.20 + 0.5);
    parts[0] = count - parts[1] - parts[2];
    shuffle(order, count, 0);
    for (int i = 0; i < count; i++)
        part_of[order[i]] = i < parts[0] ? 0 : i < parts[0] + parts[1] ? 1 : 2;
    parts[0] = parts[1] = parts[2] = 0;
    for (int i = 0; i < count; i++) part[part_of[i]][parts[part_of[i]]++] = i;
}

/* ---- training and testing ---------------------------------------------------------------- */

static int fill(const int *rows, const int *order, int first, int n) {
    int size = n - first < DIGITS_BATCH ? n - first : DIGITS_BATCH;
    for (int i = 0; i < size; i++) {
        int row = rows[order ? order[first + i] : first + i];
        memcpy(x[i], images[row], sizeof x[i]);
        y[i] = labels[row];
    }
    return size;
}

static double train_epoch(int epoch, uint64_t *step) {
    static int order[MOST];
    double sum = 0;
    shuffle(order, parts[0], (uint64_t)epoch);
    for (int first = 0; first < parts[0]; first += DIGITS_BATCH) {
        int n = fill(part[0], order, first, parts[0]);
        sum += (double)digits_step(params, state, x[0], y, n, SEED, ++*step, arena) * n;
    }
    return sum / parts[0];
}

static double accuracy(int which) {
    int right = 0;
    for (int first = 0; first < parts[which]; first += DIGITS_BATCH) {
        int n = fill(part[which], NULL, first, parts[which]);
        digits_forward(params, state, x[0], p[0], n, arena);
        for (int i = 0; i < n; i++) {
            int best = 0;
            for (int k = 1; k < CLASSES; k++)
                if (p[i][k] > p[i][best]) best = k;
            right += best == y[i];
        }
    }
    return (double)right / parts[which];
}

int main(int argc, char **argv) {
    uint64_t step = 0;
    if (argc < 2 || !read_digits(argv[1])) {
        fprintf(stderr, "usage: train digits.csv [parameters.bin]\n");
        return 1;
    }
    split();
    digits_init(params, state, SEED, arena);
    for (int epoch = 1; epoch <= EPOCHS; epoch++)
        printf("epoch %2d  loss %.9g\n", epoch, train_epoch(epoch, &step));
    printf("valid  accuracy %.9g\ntest   accuracy %.9g\n", accuracy(1), accuracy(2));
    if (argc > 2) {
        FILE *file = fopen(argv[2], "wb");
        if (!file || fwrite(params, sizeof params, 1, file) != 1 || fclose(file) != 0) return 1;
    }
    return 0;
}
