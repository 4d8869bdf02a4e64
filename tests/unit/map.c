/* tests/unit/map.c: the map against a plain array of pairs. */
#include "support/map.h"

#include "test.h"

#include <stdlib.h>

int main(void) {
    enum { KEYS = 700, STEPS = 20000 };
    Arena *arena = arena_new();
    static char keys[KEYS];
    static int values[STEPS];
    void *expected[KEYS] = {0};
    Map map = {0};
    EXPECT(map_get(&map, keys) == NULL);
    EXPECT(!map_has(&map, keys));
    srand(7);
    const void *order[KEYS];
    uint32_t inserted = 0;
    for (int step = 0; step < STEPS; step++) {
        int k = rand() % KEYS;
        if (rand() % 3) {
            EXPECT(map_get(&map, &keys[k]) == expected[k]);
            EXPECT(map_has(&map, &keys[k]) == (expected[k] != NULL));
            continue;
        }
        if (!expected[k]) order[inserted++] = &keys[k];
        map_set(arena, &map, &keys[k], expected[k] = &values[step]);
    }
    EXPECT_INT(map.len, inserted);
    for (uint32_t i = 0; i < map.len; i++) EXPECT(map.entries[i].key == order[i]);
    map_set(arena, &map, order[0], NULL);
    EXPECT(map_has(&map, order[0]) && map_get(&map, order[0]) == NULL);
    map_set(arena, &map, NULL, keys);
    EXPECT(map_get(&map, NULL) == keys);
    arena_free(arena);
    TEST_END();
}
