/* tests/unit/data.h: small models, data blocks and files for the tests of the runtime. */
#ifndef DLC_TESTS_UNIT_DATA_H
#define DLC_TESTS_UNIT_DATA_H

#include "runtime/dlrt.h"
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

/* A folder of this test's own, removed by test_folder_end. */
static char test_folder[64];

static inline void test_folder_begin(void) {
    strcpy(test_folder, "/tmp/dlrt-test-XXXXXX");
    if (!mkdtemp(test_folder)) exit(2);
}

static inline void test_folder_end(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", test_folder);
    if (system(command) != 0) exit(2);
}

static inline const char *test_path(const char *name) {
    static char paths[8][160];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
    return path;
}

static inline void test_write(const char *name, const void *bytes, size_t size) {
    FILE *file = fopen(test_path(name), "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) exit(2);
}

static inline void test_write_text(const char *name, const char *text) {
    test_write(name, text, strlen(text));
}

static inline DlrtPort test_port(const char *name, const int64_t *dims, int64_t classes) {
    DlrtPort port = {
        .name = name, .dims = dims, .elements = 1, .classes = classes, .batched = true};
    while (dims[port.rank]) port.elements *= dims[port.rank++];
    return port;
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__, 0})
#define SCALAR    ((const int64_t[]){0})

/* What is wrong contains this text. */
#define EXPECT_ERROR(error, part)                                                                  \
    do {                                                                                           \
        test_checks++;                                                                             \
        if (!strstr((error).message, (part))) {                                                    \
            test_failures++;                                                                       \
            printf("%s:%d: message is\n    %s\nexpected\n    %s\n", __FILE__, __LINE__,            \
                   (error).message, (part));                                                       \
        }                                                                                          \
    } while (0)

/* The folder of real data, or NULL with a line that says that its tests are skipped. */
static inline const char *test_data(void) {
    const char *folder = getenv("DLC_TEST_DATA");
    if (!folder) printf("skipped: tests on real data (DLC_TEST_DATA is not set)\n");
    return folder;
}

#endif
