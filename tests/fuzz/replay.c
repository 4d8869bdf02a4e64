/* tests/fuzz/replay.c: a fuzz entry without libFuzzer: its corpus, and each file of it with small
 * damage from a fixed sequence of random numbers. A crash is a failure; there is nothing else to
 * see.
 *
 *     fuzz_NAME ROUNDS FILE...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Bytes {
    uint8_t *at;
    size_t size, room;
} Bytes;

static uint64_t state = 0x9e3779b97f4a7c15u;

static size_t below(size_t n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return n ? (size_t)(state * 0x2545f4914f6cdd1du >> 33) % n : 0;
}

static Bytes read_file(const char *path) {
    Bytes b = {.room = 1 << 16};
    FILE *file = fopen(path, "rb");
    b.at = malloc(b.room);
    if (!file || !b.at) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    b.size = fread(b.at, 1, b.room / 2, file);
    fclose(file);
    return b;
}

/* Moves a piece of the bytes, or doubles it, or takes it away. */
static void move_piece(Bytes *b) {
    size_t from = below(b->size), length = below(b->size - from) % 32 + 1, to = below(b->size);
    if (from + length > b->size || to + length > b->size) return;
    switch (below(3)) {
    case 0: memmove(b->at + to, b->at + from, length); break;
    case 1:
        memmove(b->at + from, b->at + from + length, b->size - from - length);
        b->size -= length;
        break;
    case 2:
        if (b->size + length > b->room) return;
        memmove(b->at + to + length, b->at + to, b->size - to);
        b->size += length;
        break;
    }
}

static void damage(Bytes *b) {
    static const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xff, '\n', '"', '-', '(', '[', '{', '9'};
    for (size_t n = below(4) + 1; n-- > 0 && b->size;) {
        size_t at = below(b->size);
        switch (below(4)) {
        case 0: b->at[at] ^= (uint8_t)(1 << below(8)); break;
        case 1: b->at[at] = extremes[below(sizeof extremes)]; break;
        case 2: move_piece(b); break;
        case 3: b->size = below(8) ? b->size : at; break; /* now and then cut off */
        }
    }
}

/* A copy of exactly that size, so that a read past the end is seen. */
static void try(const Bytes *b) {
    uint8_t *copy = malloc(b->size ? b->size : 1);
    if (!copy) exit(2);
    if (b->size) memcpy(copy, b->at, b->size);
    LLVMFuzzerTestOneInput(copy, b->size);
    free(copy);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "%s ROUNDS FILE...\n", argv[0]);
        return 2;
    }
    long rounds = strtol(argv[1], NULL, 10), tried = 0;
    for (int i = 2; i < argc; i++) {
        Bytes b = read_file(argv[i]);
        try(&b);
        for (long r = 0; r < rounds; r++) {
            Bytes damaged = {malloc(b.room), b.size, b.room};
            if (!damaged.at) return 2;
            memcpy(damaged.at, b.at, b.size);
            damage(&damaged);
            try(&damaged);
            free(damaged.at);
            tried++;
        }
        free(b.at);
    }
    printf("%d files, %ld damaged ones\n", argc - 2, tried);
    return 0;
}
