/* tests/unit/safetensors.c: weights written and read: round trips, other programs' files, and files
 * that are damaged in every way. */
#include "line.h"

#include "runtime/private.h"

#include <sys/stat.h>

static DlrtModel model;

static DlrtSession *open_session(uint64_t seed) {
    DlrtError error = {0};
    DlrtSession *session = dlrt_session_open(&model, seed, &error);
    if (!session) exit(2);
    return session;
}

/* ---- files made here ------------------------------------------------------------------------ */

typedef struct File {
    char bytes[4096];
    size_t size;
} File;

/* A file with this header and n bytes of data, 0, 1, 2, … */
static File file_of(const char *header, size_t n) {
    File f = {.size = 8};
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++) f.bytes[i] = (char)(unsigned char)((uint64_t)length >> 8 * i);
    memcpy(f.bytes + 8, header, length);
    f.size += length;
    for (size_t i = 0; i < n; i++) f.bytes[f.size++] = (char)i;
    return f;
}

/* A copy of exactly that size, so that a read past it is seen. */
static bool load_bytes(const char *bytes, size_t size, DlrtError *error) {
    DlrtSession *session = open_session(1);
    float before[LINE_PARAMS];
    unsigned char *copy = malloc(size + 1);
    int64_t epoch = -1;
    if (!copy) exit(2);
    memcpy(copy, bytes, size);
    copy[size] = 0;
    memcpy(before, dlrt_session_params(session), sizeof before);
    Bytes file = {copy, size};
    *error = (DlrtError){0};
    bool good = checkpoint_load(session, &file, "f", &epoch, error);
    /* A file that cannot be loaded changes nothing. */
    if (!good) EXPECT(memcmp(before, dlrt_session_params(session), sizeof before) == 0);
    if (!good) EXPECT(error->message[0] != 0);
    free(copy);
    dlrt_session_close(session);
    return good;
}

static void expect_bad(const char *header, size_t n, const char *part) {
    DlrtError error;
    File f = file_of(header, n);
    EXPECT(!load_bytes(f.bytes, f.size, &error));
    EXPECT_ERROR(error, part);
}

#define W(begin, end)                                                                              \
    "\"dense1.w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[" #begin "," #end "]}"
#define B(begin, end)                                                                              \
    "\"dense1.b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[" #begin "," #end "]}"

/* ---- round trips ---------------------------------------------------------------------------- */

static void test_round_trip(void) {
    DlrtError error = {0};
    DlrtSession *saved = open_session(3), *loaded = open_session(4);
    float *w = dlrt_session_params(saved), *v = dlrt_session_state(saved);
    w[0] = 0x1.234568p-3f, w[1] = -0.0f, w[2] = 1e-42f, w[LINE_B] = -3e38f;
    v[0] = 7, v[LINE_INPUTS] = -8;
    saved->step = 12345678901;
    int64_t epoch = 0;
    const char *path = test_path("w.safetensors");
    EXPECT(dlrt_save(saved, path, 42, &error));
    EXPECT(dlrt_load(loaded, path, &epoch, &error));
    EXPECT_STR(error.message, "");
    EXPECT_INT(epoch, 42);
    EXPECT_INT(dlrt_session_step(loaded), 12345678901);
    EXPECT_INT(loaded->seed, 3);
    EXPECT(memcmp(w, dlrt_session_params(loaded), 12) == 0);
    EXPECT(memcmp(w + LINE_B, (float *)dlrt_session_params(loaded) + LINE_B, 4) == 0);
    EXPECT(memcmp(v, dlrt_session_state(loaded), 16) == 0);
    dlrt_session_close(saved);
    dlrt_session_close(loaded);
}

static size_t read_back(const char *name, char *text, size_t room) {
    FILE *file = fopen(test_path(name), "rb");
    size_t size = file ? fread(text, 1, room - 1, file) : 0;
    if (file) fclose(file);
    text[size] = 0;
    return size;
}

/* The form on disk, as the specification of the format has it. */
static void test_form(void) {
    char bytes[4096];
    DlrtError error = {0};
    DlrtSession *session = open_session(3);
    EXPECT(dlrt_save(session, test_path("f.safetensors"), 1, &error));
    size_t size = read_back("f.safetensors", bytes, sizeof bytes);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | (unsigned char)bytes[i];
    EXPECT_INT(length % 8, 0);
    EXPECT_INT(size, 8 + length + 16 + 16);
    EXPECT(bytes[8] == '{');
    EXPECT(strstr(bytes + 8,
                  "\"dense1.w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}"));
    EXPECT(strstr(bytes + 8,
                  "\"dense1.b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[12,16]}"));
    EXPECT(strstr(bytes + 8, "\"state.dense1.w.v\":"));
    EXPECT(strstr(bytes + 8, "\"epoch\":\"1\""));
    float w[3];
    memcpy(w, bytes + 8 + length, sizeof w);
    EXPECT(memcmp(w, dlrt_session_params(session), sizeof w) == 0);
    dlrt_session_close(session);
}

static void test_places(void) {
    DlrtError error = {0};
    struct stat status;
    DlrtSession *session = open_session(3);
    EXPECT(!dlrt_save(session, test_folder, 1, &error));
    EXPECT_ERROR(error, "this is a folder, not a file");
    EXPECT(!dlrt_save(session, test_path("no/such/file"), 1, &error));
    EXPECT_ERROR(error, "cannot write");
    EXPECT(!dlrt_load(session, test_path("none.safetensors"), NULL, &error));
    EXPECT_ERROR(error, "cannot open");
    EXPECT(error.missing_file);
    EXPECT(!dlrt_load(session, test_folder, NULL, &error));
    EXPECT_ERROR(error, "this is a folder, not a file");
    /* A link stays one, and its file keeps its mode. */
    test_write_text("real.safetensors", "old");
    chmod(test_path("real.safetensors"), 0640);
    EXPECT_INT(symlink(test_path("real.safetensors"), test_path("link.safetensors")), 0);
    EXPECT(dlrt_save(session, test_path("link.safetensors"), 1, &error));
    EXPECT(lstat(test_path("link.safetensors"), &status) == 0 && S_ISLNK(status.st_mode));
    EXPECT(stat(test_path("real.safetensors"), &status) == 0 && (status.st_mode & 0777) == 0640);
    EXPECT(dlrt_load(session, test_path("real.safetensors"), NULL, &error));
    EXPECT(dlrt_save(session, "/dev/null", 1, &error));
    EXPECT(stat("/dev/null", &status) == 0 && S_ISCHR(status.st_mode));
    dlrt_session_close(session);
}

/* ---- files of others ------------------------------------------------------------------------ */

static void expect_loads(const char *header, const void *data, size_t n, const float *expected) {
    DlrtError error = {0};
    DlrtSession *session = open_session(1);
    File f = file_of(header, n);
    if (data) memcpy(f.bytes + f.size - n, data, n);
    Bytes bytes = {(unsigned char *)f.bytes, f.size};
    EXPECT(checkpoint_load(session, &bytes, "f", NULL, &error));
    EXPECT_STR(error.message, "");
    const float *w = dlrt_session_params(session);
    for (int i = 0; i < 3; i++) EXPECT_NEAR(w[i], expected[i], 0);
    EXPECT_NEAR(w[LINE_B], expected[3], 0);
    EXPECT_INT(dlrt_session_step(session), 0);
    dlrt_session_close(session);
}

static void test_others(void) {
    static const float values[] = {1, -2, 0.5f, 65504};
    static const double wide[] = {1, -2, 0.5, 65504};
    static const uint16_t half[] = {0x3c00, 0xc000, 0x3800, 0x7bff};
    static const uint16_t brain[] = {0x3f80, 0xc000, 0x3f00, 0x477f};
    static const float brain_values[] = {1, -2, 0.5f, 65280};
    expect_loads("{" W(0, 12) "," B(12, 16) "}", values, 16, values);
    /* In another order, with blanks, escapes, and metadata that says nothing to us. */
    expect_loads(
        " { \"__metadata__\" : { \"format\" : \"pt\", \"x\" : \"\\u00e4\\n\\ud83d\\ude00\" } ,\n"
        "\"dense1.\\u0062\" : { \"shape\" : [ ] , \"data_offsets\" : [ 12 , 16 ] ,\t\"dtype\" : "
        "\"F32\" } , " W(0, 12) " }   ",
        values, 16, values);
    expect_loads("{\"dense1.w\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,24]},"
                 "\"dense1.b\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[24,32]}}",
                 wide, 32, values);
    expect_loads("{\"dense1.w\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,6]},"
                 "\"dense1.b\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[6,8]}}",
                 half, 8, values);
    expect_loads("{\"dense1.w\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]},"
                 "\"dense1.b\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[6,8]}}",
                 brain, 8, brain_values);
}

/* ---- names and shapes ------------------------------------------------------------------------ */

static void test_fit(void) {
    expect_bad("{" W(0, 12) "}", 12, "`dense1.b` of model `line` is not in this file");
    expect_bad("{}", 0, "`dense1.w` of model `line` is not in this file");
    expect_bad("{" W(0, 12) "," B(
                   12, 16) ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]}}",
               20, "`x` is in this file, but model `line` has no parameter of that name");
    expect_bad(
        "{" W(0, 12) "," B(
            12, 16) ",\"state.x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]}}",
        20, "`state.dense1.w.v` of model `line` is not in this file");
    expect_bad(
        "{\"dense1.w\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[0,12]}," B(12, 16) "}",
        16, "`dense1.w` has shape [1, 3] in this file, but [3] in model `line`");
    expect_bad(
        "{\"dense1.w\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}," B(16, 20) "}",
        20, "`dense1.w` has shape [4] in this file, but [3] in model `line`");
    expect_bad(
        "{\"dense1.w\":{\"dtype\":\"I32\",\"shape\":[3],\"data_offsets\":[0,12]}," B(12, 16) "}",
        16, "is of type I32 here: F16, BF16, F32 and F64");
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void test_lengths(void) {
    DlrtError error;
    EXPECT(!load_bytes("", 0, &error));
    EXPECT_ERROR(error, "only 0 bytes");
    EXPECT(!load_bytes("\1\0\0\0\0\0\0", 7, &error));
    EXPECT_ERROR(error, "this is no safetensors file: it has only 7 bytes");
    EXPECT(!load_bytes("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, &error));
    EXPECT_ERROR(error, "a header of 18446744073709551615 bytes in a file of 10");
    EXPECT(!load_bytes("\3\0\0\0\0\0\0\0{}", 10, &error));
    EXPECT_ERROR(error, "a header of 3 bytes");
    EXPECT(!load_bytes("\0\0\0\0\0\0\0\0", 8, &error));
    EXPECT_ERROR(error, "expected `{`");
    /* Cut anywhere. */
    File f = file_of("{" W(0, 12) "," B(12, 16) "}", 16);
    EXPECT(load_bytes(f.bytes, f.size, &error));
    for (size_t size = 0; size < f.size; size++) EXPECT(!load_bytes(f.bytes, size, &error));
    f.bytes[f.size++] = 0;
    EXPECT(!load_bytes(f.bytes, f.size, &error));
    EXPECT_ERROR(error, "the tensors take 16 bytes, but the file has 17");
}

static void test_json(void) {
    expect_bad("[]", 0, "expected `{`");
    expect_bad("{,}", 0, "expected `\"`");
    expect_bad("{" W(0, 12) "," B(12, 16) ",}", 16, "expected `\"`");
    expect_bad("{" W(0, 12) "," B(12, 16) "} x", 16, "text after the end");
    expect_bad("{\"a\":1}", 0, "expected `{`");
    expect_bad("{\"a", 0, "a text that does not end");
    expect_bad("{\"a\\", 0, "a text that does not end");
    expect_bad("{\"a\\x\":{}}", 0, "unknown escape");
    expect_bad("{\"\\u00\":{}}", 0, "four hexadecimal digits");
    expect_bad("{\"\\u0000\":{}}", 0, "a zero character");
    expect_bad("{\"\\ud800\":{}}", 0, "half of a surrogate pair");
    expect_bad("{\"\\udc00\":{}}", 0, "half of a surrogate pair");
    expect_bad("{\"\\ud800\\u0041\":{}}", 0, "half of a surrogate pair");
    expect_bad("{\"a\nb\":{}}", 0, "a control character");
    expect_bad("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 0, "a key that is there twice");
    expect_bad("{\"a\":{\"dtype\":\"F32\"}}", 0, "without dtype, shape or data_offsets");
    expect_bad("{\"a\":{\"kind\":\"F32\"}}", 0, "nothing else");
    expect_bad("{\"a\":{\"shape\":[-1]}}", 0, "expected a whole number");
    expect_bad("{\"a\":{\"shape\":[01]}}", 0, "begins with 0");
    expect_bad("{\"a\":{\"shape\":[9223372036854775808]}}", 0, "too large");
    expect_bad("{\"a\":{\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}", 0,
               "more than 16 dimensions");
    expect_bad("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "a key that is there twice");
    expect_bad("{\"__metadata__\":{\"a\":1}}", 0, "expected `\"`");
}

static void test_offsets(void) {
    expect_bad("{" W(0, 13) "," B(13, 17) "}", 17,
               "`dense1.w` has 13 bytes, which is not its shape's");
    expect_bad("{" W(12, 0) "," B(12, 16) "}", 16, "damaged or cut off");
    expect_bad("{" W(0, 12) "," B(12, 99) "}", 16, "at bytes 12 to 99, but the file has 16");
    expect_bad("{" W(0, 12) "," B(8, 12) "}", 12, "overlaps");
    expect_bad("{" W(0, 12) "," B(16, 20) "}", 20, "does not follow");
    expect_bad("{" W(0, 12) "," W(12, 24) "}", 24, "tensor `dense1.w` is there twice");
    expect_bad("{\"dense1.w\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_"
               "offsets\":[0,0]}}",
               0, "not its shape's");
    expect_bad("{\"dense1.w\":{\"dtype\":\"F99\",\"shape\":[3],\"data_offsets\":[0,12]}}", 12,
               "is of type `F99`, which is not known");
    expect_bad("{\"__metadata__\":{\"step\":\"x\"}," W(0, 12) "," B(12, 16) "}", 16, "step");
    expect_bad("{\"__metadata__\":{\"epoch\":\"99999999999999999999\"}," W(0, 12) "," B(12, 16) "}",
               16, "epoch");
}

/* Every byte of a good file changed in several ways: loaded or refused, never worse. */
static void test_flips(void) {
    DlrtError error;
    File f = file_of("{\"__metadata__\":{\"step\":\"3\"}," W(0, 12) "," B(12, 16) "}", 16);
    for (size_t i = 0; i < f.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            f.bytes[i] ^= (char)(1 << bit);
            load_bytes(f.bytes, f.size, &error);
            f.bytes[i] ^= (char)(1 << bit);
        }
    EXPECT(load_bytes(f.bytes, f.size, &error));
}

int main(void) {
    test_folder_begin();
    model = line_model();
    test_round_trip();
    test_form();
    test_places();
    test_others();
    test_fit();
    test_lengths();
    test_json();
    test_offsets();
    test_flips();
    test_folder_end();
    TEST_END();
}
