/* runtime/data_csv.c: tables of comma-separated values.
 *
 * in: a file as RFC 4180 describes it, with any one-byte separator; lines may end in LF, CRLF or
 * CR; a byte order mark is skipped, blank lines are skipped, blanks around fields do not count out:
 * a Table; every row has as many fields as the first
 *
 * The text is rewritten in place: field after field without quotes and separators, each ended by
 * NUL. That is never longer than what was read, so writing cannot overtake reading.
 */
#include "runtime/private.h"

#include <stdlib.h>
#include <string.h>

typedef struct Csv {
    Loader *loader;
    const char *path;
    char separator;
    int header; /* 1 yes, 0 no, -1 to be found out */
    char *read, *end, *write;
    int64_t line;     /* of `read` */
    int64_t columns;  /* of the first row */
    int64_t capacity; /* of starts and lines */
    char **starts;
    int64_t *lines, rows;
} Csv;

static bool fail(const Csv *csv, int64_t line, int64_t column, const char *message) {
    return error_set(csv->loader->error, (Place){csv->path, line, column}, "%s", message);
}

/* ---- text to fields ---------------------------------------------------------------------- */

static bool is_end(const Csv *csv) {
    return csv->read == csv->end || *csv->read == '\n' || *csv->read == '\r';
}

static bool is_blank(const Csv *csv, char c) {
    return (c == ' ' || c == '\t') && c != csv->separator;
}

static void skip_blanks(Csv *csv) {
    while (csv->read < csv->end && is_blank(csv, *csv->read)) csv->read++;
}

static void skip_line_end(Csv *csv) {
    if (csv->read == csv->end) return;
    bool pair = *csv->read == '\r' && csv->read + 1 < csv->end && csv->read[1] == '\n';
    csv->read += pair ? 2 : 1;
    csv->line++;
}

/* After the opening quote; quotes are doubled, line breaks belong to the field. */
static bool read_quoted(Csv *csv, int64_t column) {
    int64_t opened = csv->line;
    for (csv->read++;; csv->read++) {
        if (csv->read == csv->end)
            return fail(csv, opened, column, "the quote that opens this field is never closed");
        char c = *csv->read;
        if (c == '"') {
            if (csv->read + 1 == csv->end || csv->read[1] != '"') break;
            csv->read++;
        }
        bool lone = c == '\r' && (csv->read + 1 == csv->end || csv->read[1] != '\n');
        if (c == '\n' || lone) csv->line++;
        *csv->write++ = c;
    }
    csv->read++;
    skip_blanks(csv);
    if (!is_end(csv) && *csv->read != csv->separator)
        return fail(csv, csv->line, column,
                    "text follows the closing quote: a quote within a field is written twice");
    return true;
}

static void read_plain(Csv *csv) {
    char *begin = csv->write;
    while (!is_end(csv) && *csv->read != csv->separator) *csv->write++ = *csv->read++;
    while (csv->write > begin && is_blank(csv, csv->write[-1])) csv->write--;
}

static bool add_row(Csv *csv, char *start, int64_t line) {
    if (csv->rows == csv->capacity) {
        Pool *pool = &csv->loader->pool;
        int64_t capacity = csv->capacity ? csv->capacity * 2 : 256;
        char **starts = pool_take(pool, capacity, sizeof *starts);
        int64_t *lines = pool_take(pool, capacity, sizeof *lines);
        if (!starts || !lines) return error_memory(csv->loader->error, "the rows of a table");
        if (csv->rows) {
            memcpy(starts, csv->starts, (size_t)csv->rows * sizeof *starts);
            memcpy(lines, csv->lines, (size_t)csv->rows * sizeof *lines);
        }
        csv->starts = starts;
        csv->lines = lines;
        csv->capacity = capacity;
    }
    csv->starts[csv->rows] = start;
    csv->lines[csv->rows++] = line;
    return true;
}

static bool check_columns(Csv *csv, int64_t line, int64_t columns) {
    if (csv->rows == 0) csv->columns = columns;
    if (columns == csv->columns) return true;
    bool more = columns > csv->columns;
    return error_set(csv->loader->error,
                     (Place){csv->path, line, more ? csv->columns + 1 : columns},
                     "this row has %lld field%s, the first row has %lld", (long long)columns,
                     columns == 1 ? "" : "s", (long long)csv->columns);
}

/* One row; the end of the file ends it too. The NUL may take the place of the separator or line
 * end, so that is read before the NUL is written. */
static bool read_row(Csv *csv) {
    int64_t line = csv->line, columns = 0;
    char *start = csv->write;
    for (bool more = true; more;) {
        columns++;
        skip_blanks(csv);
        if (csv->read < csv->end && *csv->read == '"') {
            if (!read_quoted(csv, columns)) return false;
        } else {
            read_plain(csv);
        }
        more = !is_end(csv);
        if (more)
            csv->read++;
        else
            skip_line_end(csv);
        *csv->write++ = 0;
    }
    return check_columns(csv, line, columns) && add_row(csv, start, line);
}

static bool read_rows(Csv *csv) {
    while (csv->read < csv->end) {
        char *line = csv->read;
        skip_blanks(csv);
        if (is_end(csv)) {
            skip_line_end(csv);
            continue;
        }
        csv->read = line;
        if (!read_row(csv)) return false;
    }
    return csv->rows > 0 || fail(csv, 0, 0, "this file has no rows");
}

/* A zero byte is no text: most likely the file is binary or UTF-16. */
static bool check_text(const Csv *csv, const Bytes *bytes) {
    const unsigned char *zero = memchr(bytes->data, 0, bytes->size);
    int64_t line = 1;
    if (bytes->size == 0) return fail(csv, 0, 0, "this file is empty");
    if (!zero) return true;
    for (const unsigned char *p = bytes->data; p < zero; p++) line += *p == '\n';
    return fail(
        csv, line, 0,
        "this file has a zero byte here, so it is not plain text (is it binary, or UTF-16?)");
}

/* ---- the header -------------------------------------------------------------------------- */

static bool names_are_used(const DlrtDataSpec *spec) {
    for (uint32_t i = 0; i < spec->ncolumns; i++)
        for (uint32_t k = 0; k < spec->columns[i].ncolumns; k++)
            if (spec->columns[i].columns[k].name) return true;
    return false;
}

/* Marks the columns whose first field is text. */
static bool mark_texts(const Table *table, char **fields, bool *text) {
    bool any = false;
    table_row(table, 0, fields);
    for (int64_t c = 0; c < table->columns; c++) {
        double value;
        text[c] = number_parse(fields[c], &value) == NUMBER_NOT && !number_is_missing(fields[c]);
        any = any || text[c];
    }
    return any;
}

/* The first row is a header when in some column it is text and every other row a number (or
 * missing, but not always). */
static bool looks_like_header(const Table *table, char **fields, bool *text) {
    bool any = mark_texts(table, fields, text), number = false;
    for (int64_t row = 1; row < table->rows && any; row++) {
        any = false;
        table_row(table, row, fields);
        for (int64_t c = 0; c < table->columns; c++) {
            double value;
            if (!text[c]) continue;
            if (number_is_missing(fields[c])) {
                any = true;
            } else if (number_parse(fields[c], &value) == NUMBER_NOT) {
                text[c] = false;
            } else {
                any = number = true;
            }
        }
    }
    return any && number;
}

static bool take_header(Csv *csv, Table *table) {
    Pool *pool = &csv->loader->pool;
    char **fields = pool_take(pool, table->columns, sizeof *fields);
    bool *text = pool_take(pool, table->columns, sizeof *text);
    if (!fields || !text) return error_memory(csv->loader->error, "the columns of a table");
    int header = csv->header;
    if (header < 0) header = names_are_used(csv->loader->spec);
    if (header == 0 && csv->header < 0) header = looks_like_header(table, fields, text);
    if (!header) return true;
    table_row(table, 0, fields);
    table->names = (const char **)fields;
    table->starts++;
    table->lines++;
    table->rows--;
    return table->rows > 0 || fail(csv, 0, 0, "this file has a header but no rows");
}

/* ---- the reader -------------------------------------------------------------------------- */

static bool bad_argument(Csv *csv, const DlrtArgument *argument, const char *wanted) {
    return error_set(csv->loader->error, (Place){0}, "csv: `%s` wants %s", argument->name, wanted);
}

static bool read_argument(Csv *csv, const DlrtArgument *argument, const char **file) {
    if (!argument->name) {
        if (argument->kind != DLRT_STRING || *file)
            return error_set(csv->loader->error, (Place){0},
                             "csv takes the name of one file: csv(\"file.csv\")");
        *file = argument->string;
        return true;
    }
    if (strcmp(argument->name, "header") == 0) {
        bool automatic = argument->kind == DLRT_STRING && strcmp(argument->string, "auto") == 0;
        if (argument->kind != DLRT_BOOL && !automatic)
            return bad_argument(csv, argument, "true, false or \"auto\"");
        csv->header = automatic ? -1 : argument->boolean;
        return true;
    }
    if (strcmp(argument->name, "separator") == 0) {
        const char *s = argument->kind == DLRT_STRING ? argument->string : "";
        if (strlen(s) != 1 || strchr("\"\r\n.+-", *s) || (*s >= '0' && *s <= '9'))
            return bad_argument(csv, argument, "one character, such as \";\"");
        csv->separator = *s;
        return true;
    }
    return error_set(csv->loader->error, (Place){0},
                     "csv has no argument `%s`: it takes a file, header and separator",
                     argument->name);
}

static bool read_arguments(Csv *csv, const DlrtSource *spec, const char **file) {
    for (uint32_t i = 0; i < spec->nargs; i++)
        if (!read_argument(csv, &spec->args[i], file)) return false;
    return *file || error_set(csv->loader->error, (Place){0},
                              "csv needs the name of a file: csv(\"file.csv\")");
}

bool csv_read(Loader *loader, SourceRows *source) {
    Csv csv = {.loader = loader, .separator = ',', .header = -1, .line = 1};
    const char *file = NULL;
    Bytes bytes;
    if (!read_arguments(&csv, source->spec, &file)) return false;
    csv.path = file_find(&loader->pool, loader->spec, loader->path, file, loader->error);
    if (!csv.path) return false;
    if (!file_read(&loader->pool, csv.path, SIZE_MAX / 4, &bytes, loader->error)) return false;
    if (!check_text(&csv, &bytes)) return false;
    bool mark = bytes.size >= 3 && memcmp(bytes.data, "\xEF\xBB\xBF", 3) == 0;
    csv.write = csv.read = (char *)bytes.data + (mark ? 3 : 0);
    csv.end = (char *)bytes.data + bytes.size;
    if (!read_rows(&csv)) return false;
    Table *table = pool_take(&loader->pool, 1, sizeof *table);
    if (!table) return error_memory(loader->error, "a table");
    *table = (Table){.path = csv.path,
                     .rows = csv.rows,
                     .columns = csv.columns,
                     .starts = csv.starts,
                     .lines = csv.lines,
                     .separator = csv.separator};
    if (!take_header(&csv, table)) return false;
    source->table = table;
    source->rows = table->rows;
    return true;
}

/* ---- tables ------------------------------------------------------------------------------ */

void table_row(const Table *table, int64_t row, char **fields) {
    char *field = table->starts[row];
    for (int64_t c = 0; c < table->columns; c++) {
        fields[c] = field;
        field += strlen(field) + 1;
    }
}

Place table_place(const Table *table, int64_t row, int64_t column) {
    int64_t line = table->lines[row];
    const char *field = table->starts[row];
    for (int64_t c = 0; c < column; c++) {
        for (; *field; field++) line += *field == '\n' || (*field == '\r' && field[1] != '\n');
        field++;
    }
    return (Place){table->path, line, column + 1};
}

Quoted table_column(const Table *table, int64_t column) {
    Quoted quoted;
    if (table->names && table->names[column][0])
        snprintf(quoted.text, sizeof quoted.text, "column %lld (`%.60s`)", (long long)column + 1,
                 error_quote(table->names[column]).text);
    else
        snprintf(quoted.text, sizeof quoted.text, "column %lld", (long long)column + 1);
    return quoted;
}
