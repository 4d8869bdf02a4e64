/* runtime/private.h: what the files of the runtime share with each other.
 *
 * Opening data goes: sources are read (reader.c finds the reader: data_csv.c makes tables of text,
 * data_text.c characters, the others blocks of numbers), tables and characters become blocks
 * (columns.c, characters.c), rows are divided into parts (parts.c), missing values are filled and
 * values scaled (scale.c), and everything is kept as examples for the model (store.c).
 */
#ifndef DLRT_PRIVATE_H
#define DLRT_PRIVATE_H

#include "runtime/dlrt.h"

#include <stdio.h>

/* ---- errors (error.c) ------------------------------------------------------------------ */

/* Where an error is: a file or NULL, and a line and column, 0 when they do not apply. */
typedef struct Place {
    const char *path;
    int64_t line, column;
} Place;

/* Fills the error; always false, so that a function can `return error_set(…)`. */
bool error_set(DlrtError *error, Place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool error_memory(DlrtError *error, const char *what);
/* A user's text for use within a message: shortened, control characters as blanks. */
typedef struct Quoted {
    char text[96];
} Quoted;
Quoted error_quote(const char *text);

/* ---- memory (pool.c) ------------------------------------------------------------------- */

/* Allocations that end together. All are aligned to 64 bytes and zero. */
typedef struct Pool {
    struct PoolItem *items;
} Pool;

/* NULL when it does not fit into memory or into size_t. */
void *pool_take(Pool *pool, int64_t count, size_t size);
/* Makes memory from malloc part of the pool; frees it and gives NULL when that fails. */
void *pool_adopt(Pool *pool, void *memory);
char *pool_text(Pool *pool, const char *text);
char *pool_join(Pool *pool, const char *folder, const char *name);
void pool_free(Pool *pool);
/* a * b, or -1 when it does not fit; so does a negative factor give -1. */
int64_t size_product(int64_t a, int64_t b);

/* ---- files (file.c) -------------------------------------------------------------------- */

typedef struct Bytes {
    unsigned char *data; /* one zero byte follows the data */
    size_t size;
} Bytes;

/* Reads a file whole, unpacking gzip; no more than `limit` bytes of content. */
bool file_read(Pool *pool, const char *path, size_t limit, Bytes *bytes, DlrtError *error);
/* Reads a file whole, as it is. */
bool file_read_plain(Pool *pool, const char *path, Bytes *bytes, DlrtError *error);
/* The path of a source's file; the message for one that is missing says what the data is. */
const char *file_find(Pool *pool, const DlrtDataSpec *spec, const char *data_path, const char *name,
                      DlrtError *error);

/* ---- numbers and texts (number.c, texts.c) ---------------------------------------------- */

typedef enum NumberKind { NUMBER_FINITE, NUMBER_TOO_LARGE, NUMBER_NOT } NumberKind;

/* A decimal number, correctly rounded, in any locale; blanks around it are allowed. */
NumberKind number_parse(const char *text, double *value);
/* Empty, NA, N/A, ?, nan, null. */
bool number_is_missing(const char *text);

/* Distinct texts; `order` sorts them and then `find` gives places in that order. */
typedef struct Texts {
    Pool *pool;
    const char **items;
    int64_t count, capacity;
    int64_t *slots, nslots; /* hash table: item + 1, 0 free */
} Texts;

/* The index of the text, which is added when new; -1 when out of memory. The text must live on. */
int64_t texts_add(Texts *texts, const char *text);
/* -1 when it is not there. */
int64_t texts_find(const Texts *texts, const char *text);
/* By bytes, or by value when all are whole numbers. */
bool texts_order(Texts *texts, bool by_value);

/* ---- notes on the data (notes.c) -------------------------------------------------------- */

/* What was read off the training data and belongs to the weights. The key says which port and
 * what: `x.mean`, `y.classes`. */
typedef struct Note {
    const char *key, *text;
} Note;
typedef struct Notes {
    Note *items;
    int64_t count, capacity;
} Notes;

struct Loader;
/* False: out of memory. */
bool notes_add(Pool *pool, Notes *notes, const char *key, const char *text);
bool notes_copy(Pool *pool, Notes *to, const Notes *from);
bool notes_have(const Notes *notes, const char *port, const char *what);
/* Notes it on the data that is being opened. */
bool notes_put_numbers(struct Loader *loader, const char *port, const char *what,
                       const double *values, int64_t n);
bool notes_put_texts(struct Loader *loader, const char *port, const char *what,
                     const char *const *texts, int64_t n);
/* What the weights know: exactly n numbers, NaN for those that there are none of; or texts, which
 * are added in their order. */
bool notes_numbers(const struct Loader *loader, const char *port, const char *what, double *values,
                   int64_t n);
bool notes_texts(const struct Loader *loader, const char *port, const char *what, Texts *texts);
/* Text number k of those, or NULL. */
const char *notes_text(Pool *pool, const Notes *notes, const char *port, const char *what,
                       int64_t k);

/* ---- opening data (data.c) -------------------------------------------------------------- */

typedef enum NumberType {
    NUMBER_U8,
    NUMBER_I8,
    NUMBER_I16,
    NUMBER_I32,
    NUMBER_F32,
    NUMBER_F64,
    NUMBER_NATIVE /* double of this machine, NaN where the value is missing */
} NumberType;

/* The values of one port in one source: rows x elements numbers; types of more than one byte are
 * big-endian, but for NUMBER_NATIVE. From one row to the next it is `step` numbers: fewer than
 * `elements` where rows overlap (windows over a series), more where something lies between them. */
typedef struct Block {
    NumberType type;
    const char *path;
    int64_t rows, elements, step;
    void *values;
} Block;

/* Rows of texts. Every row has the same number of fields, one after the other, each ended by NUL.
 */
typedef struct Table {
    const char *path;
    int64_t rows, columns;
    const char **names; /* of the columns, or NULL */
    char **starts;      /* of each row */
    int64_t *lines;     /* of each row in the file */
    char separator;
} Table;

/* Rows that are windows over a series: one begins at every unit of it. */
typedef struct Windows {
    int64_t train_step; /* of these rows, training takes every train_step-th; 0: no windows */
    int64_t other_step; /* and the other parts every other_step-th: so that each target value is
                           asked for once */
    int64_t reach;      /* how many following rows have a target value that is this row's too */
} Windows;

/* Characters read, before they are numbered over all sources (characters.c). */
typedef struct Characters {
    uint32_t *codes; /* code points */
    int64_t count;
    bool lines; /* rows of equal length, each beginning with a newline and padded with newlines */
} Characters;

/* What was read from one source: a table (of which columns.c makes the blocks), characters (of
 * which characters.c does) or blocks. */
typedef struct SourceRows {
    const DlrtSource *spec;
    const char *path; /* of the characters or the pictures */
    Table *table;
    Characters *characters;
    const char **labels; /* the class of each picture, numbered by images_map */
    Block *blocks;       /* one per port */
    int64_t rows;
    Windows windows;
} SourceRows;

/* The rows of one source: in the model's type, scaled; or as they were read, when that is much
 * smaller (store.c). */
typedef struct Segment {
    unsigned char *ready; /* NULL: as read */
    Block raw;
} Segment;

/* The data of one port. */
typedef struct PortData {
    char *name;
    int64_t elements, classes;
    size_t example_bytes; /* in the model's type */
    Segment *segments;    /* one per source, of all kept and dropped rows */
    unsigned char *shown; /* the example that dlrt_data_example gives */
    bool may_lack;        /* a target of which values may be missing: NaN, class -1 */
    const char **texts;   /* names of the classes, or NULL */
    int64_t ntexts;
    double *center, *factor, *offset; /* stored = (value - center) * factor + offset */
} PortData;

struct DlrtData {
    Pool pool;
    uint32_t real_bytes, nports, nsources;
    PortData *ports;
    int64_t *first_row;        /* of each source; one more: the number of all */
    double *row;               /* room for the values of one example */
    int64_t *rows[DLRT_PARTS]; /* example → row */
    int64_t count[DLRT_PARTS];
    int64_t overlap; /* training examples that share target values: one of so many is evaluated */
    Notes notes;     /* for the weights that are trained on it */
    int64_t skipped; /* rows of which a value is missing */
};

/* All that the steps of opening share. */
typedef struct Loader {
    const DlrtDataSpec *spec;
    const DlrtModel *model;
    const char *path;   /* --data or NULL */
    const Notes *known; /* by weights that were trained before, or NULL */
    uint64_t seed;
    uint32_t nports;
    const DlrtPort **ports; /* inputs, then targets */
    SourceRows *sources;
    int64_t rows;  /* of all sources */
    bool *dropped; /* rows left out: a value is missing */
    DlrtData *data;
    Pool pool; /* freed when the data is open */
    DlrtError *error;
} Loader;

/* Readers (reader.c finds them by name). */
bool csv_read(Loader *loader, SourceRows *source);
bool idx_read(Loader *loader, SourceRows *source);
bool cifar_read(Loader *loader, SourceRows *source);
bool text_read(Loader *loader, SourceRows *source);
bool lines_read(Loader *loader, SourceRows *source);
bool series_read(Loader *loader, SourceRows *source);
bool npy_read(Loader *loader, SourceRows *source);
bool npz_read(Loader *loader, SourceRows *source);
bool images_read(Loader *loader, SourceRows *source);
bool reader_read(Loader *loader, SourceRows *source);
/* Whether an argument names a file. */
bool reader_is_file(const DlrtSource *source, const DlrtArgument *argument);
/* A named argument of a source; NULL when it is not given. */
const DlrtArgument *reader_setting(const SourceRows *source, const char *name);
/* A named argument that is a whole number from `least` on; `value` stays when it is not given. */
bool reader_count(Loader *loader, const SourceRows *source, const char *name, int64_t least,
                  int64_t *value);
bool reader_flag(Loader *loader, const SourceRows *source, const char *name, bool *value);
/* The paths of the files that a source names, at most `limit`. */
bool reader_files(Loader *loader, const SourceRows *source, const char **paths, uint32_t limit,
                  uint32_t *count);
/* The names of the files of all ports, for readers of one file a port. NULL after a message. */
const char **reader_port_files(Loader *loader, const SourceRows *source);
/* Which rows of a series make examples, where an example has `targets` target values and the
 * setting `stride` may be given: fills source->windows. A row begins every *unit values. */
bool reader_windows(Loader *loader, SourceRows *source, int64_t targets, int64_t *unit);
/* The pool for values of a type: those that stay as they were read live as long as the data. */
Pool *reader_pool(Loader *loader, NumberType type);
/* "3 x 32 x 32" or "one number". */
Quoted reader_shape(const DlrtPort *port);

/* The content of a member of a ZIP archive in memory, called `name`, or `name` and `ending`
 * (zip.c). */
bool zip_member(Loader *loader, const char *path, const Bytes *archive, const char *name,
                const char *ending, Bytes *bytes);

/* What a picture must be. */
typedef struct ImageWanted {
    int64_t channels, height, width; /* channels 1: grey, 3: red, green, blue */
} ImageWanted;

/* Decodes a PNG or JPEG file into channels x height x width bytes (image.c). */
bool image_decode(const Bytes *file, const char *path, const ImageWanted *wanted, unsigned char *to,
                  DlrtError *error);

/* The fields of a row. */
void table_row(const Table *table, int64_t row, char **fields);
/* The place of a field, with the line breaks inside quoted fields before it counted. */
Place table_place(const Table *table, int64_t row, int64_t column);
/* "column 5" or "column 5 (`age`)". */
Quoted table_column(const Table *table, int64_t column);
/* The error that there is no column of that name, with the names that there are; false. */
bool table_lacks(const Table *table, const char *name, DlrtError *error);

bool columns_map(Loader *loader);
bool characters_map(Loader *loader);
bool images_map(Loader *loader);
bool parts_divide(Loader *loader);
bool scale_drop_missing(Loader *loader);
bool scale_fill_missing(Loader *loader);
bool scale_prepare(Loader *loader);
/* One row of a block as doubles. */
void block_row(const Block *block, int64_t row, double *values);
/* Keeps the blocks of a port as examples of the model. */
bool store_port(Loader *loader, uint32_t port);
/* Writes an example of a port, in the model's type. */
void store_fetch(const DlrtData *data, uint32_t port, int64_t row, void *to);
const char *part_name(DlrtPart part);
bool loader_may_lack(const Loader *loader, uint32_t port);    /* values of the port */
int loader_find_port(const Loader *loader, const char *name); /* -1: none of that name */

/* ---- sessions, batches, weights ---------------------------------------------------------- */

struct DlrtSession {
    const DlrtModel *model;
    Pool pool;
    void *params, *state, *arena;
    void **batch;      /* one array per port, for max_batch examples */
    void **results;    /* room for pointers to any function's results */
    double *evaluated; /* the loss and the statistics of one call */
    double *sums;      /* and their sums */
    uint64_t seed, step;
    const DlrtParallel *parallel;
    Pool notes_pool;
    Notes notes; /* on the data that the weights were trained on */
};

/* Copies n examples into the session's batch: those of order[first..], or without an order every
 * `every`-th, from the one numbered `first` among these. */
void batch_gather(DlrtSession *session, const DlrtData *data, DlrtPart part, const int64_t *order,
                  int64_t first, int64_t n, int64_t every);
/* A call of n examples in the batch, with `results` for the function to fill. */
DlrtCall session_call(DlrtSession *session, int64_t n);
/* Remembers notes on data in place of those that were there. */
bool session_note(DlrtSession *session, const Notes *notes, DlrtError *error);
double session_real(const DlrtSession *session, const void *values, int64_t i);
/* That the data was opened for such a model. */
bool session_fits(const DlrtSession *session, const DlrtData *data, DlrtError *error);

/* A tensor of a safetensors file. */
typedef struct SavedTensor {
    char *name;
    char type[8];
    uint32_t rank;
    int64_t dims[16];
    uint64_t begin, end; /* within the data */
} SavedTensor;

typedef struct SavedHeader {
    SavedTensor *tensors;
    int64_t count, capacity;
    char *step, *seed, *epoch; /* from the metadata, or NULL */
    uint64_t data_begin;       /* in the file */
    Notes notes;               /* likewise */
} SavedHeader;

/* The header of a safetensors file, with all offsets checked against its size. */
bool header_parse(Pool *pool, const Bytes *file, const char *path, SavedHeader *header,
                  DlrtError *error);

/* Loads a file that is in memory. */
bool checkpoint_load(DlrtSession *session, const Bytes *file, const char *path, int64_t *epoch,
                     DlrtError *error);

/* Random numbers by position (shuffle.c). */
uint64_t shuffle_draw(uint64_t seed, uint64_t stream, uint64_t position);

#endif
