/* runtime/data_series.c: windows over a column of a table, row by row a series in time.
 *
 * in: a CSV file, the column     out: for the input L values in a row, for the target the next ones
 */
#include "runtime/private.h"

#include <string.h>

static bool check_model(const Loader *loader) {
    const DlrtModel *model = loader->model;
    if (model->ninputs == 1 && model->ntargets == 1 && !model->inputs[0].classes &&
        !model->targets[0].classes)
        return true;
    return error_set(loader->error, (Place){0},
                     "series is for a model with one input, the values before, and one target, the "
                     "values that follow: input x[14]; target y");
}

/* The table, read as csv reads it: without the arguments that are only ours. */
static bool read_table(Loader *loader, const SourceRows *source, SourceRows *table) {
    static const char *const ours[] = {"column", "stride"};
    DlrtSource *spec = pool_take(&loader->pool, 1, sizeof *spec);
    DlrtArgument *args = pool_take(&loader->pool, source->spec->nargs, sizeof *args);
    if (!spec || !args) return error_memory(loader->error, "a source");
    *spec = *source->spec;
    spec->nargs = 0;
    spec->args = args;
    for (uint32_t i = 0; i < source->spec->nargs; i++) {
        const DlrtArgument *argument = &source->spec->args[i];
        const char *name = argument->name ? argument->name : "";
        if (strcmp(name, ours[0]) != 0 && strcmp(name, ours[1]) != 0)
            args[spec->nargs++] = *argument;
    }
    *table = (SourceRows){.spec = spec};
    return csv_read(loader, table);
}

/* The column that is asked for, from 0: by number, by name, or the last. */
static bool find_column(Loader *loader, const SourceRows *source, const Table *table,
                        int64_t *column) {
    const DlrtArgument *argument = reader_setting(source, "column");
    int64_t number = table->columns;
    if (argument && argument->kind == DLRT_STRING) {
        for (*column = 0; table->names && *column < table->columns; ++*column)
            if (strcmp(table->names[*column], argument->string) == 0) return true;
        return table_lacks(table, argument->string, loader->error);
    }
    if (!reader_count(loader, source, "column", 1, &number)) return false;
    *column = number - 1;
    return number <= table->columns ||
           error_set(loader->error, (Place){.path = table->path},
                     "there is no column %lld: the file has columns 1..%lld", (long long)number,
                     (long long)table->columns);
}

static bool read_values(Loader *loader, const Table *table, int64_t column, double *values) {
    char **fields = pool_take(&loader->pool, table->columns, sizeof *fields);
    if (!fields) return error_memory(loader->error, "a row");
    for (int64_t row = 0; row < table->rows; row++) {
        table_row(table, row, fields);
        Place place = table_place(table, row, column);
        if (number_is_missing(fields[column]))
            return error_set(loader->error, place, "the series has a gap here: %s has no value",
                             table_column(table, column).text);
        if (number_parse(fields[column], &values[row]) != NUMBER_FINITE)
            return error_set(loader->error, place, "`%s` in %s is not a finite number",
                             error_quote(fields[column]).text, table_column(table, column).text);
    }
    return true;
}

bool series_read(Loader *loader, SourceRows *source) {
    SourceRows rows;
    int64_t column, unit;
    if (!check_model(loader) || !read_table(loader, source, &rows)) return false;
    const Table *table = rows.table;
    if (!find_column(loader, source, table, &column)) return false;
    double *values = pool_take(&loader->data->pool, table->rows, sizeof *values);
    source->blocks = pool_take(&loader->pool, 2, sizeof *source->blocks);
    if (!values || !source->blocks) return error_memory(loader->error, "the series");
    if (!read_values(loader, table, column, values)) return false;
    int64_t before = loader->ports[0]->elements, after = loader->ports[1]->elements;
    if (!reader_windows(loader, source, after, &unit)) return false;
    if (before + after > table->rows || after < 1)
        return error_set(loader->error, (Place){.path = table->path},
                         "this series has %lld values, and an example takes %lld and the next %lld",
                         (long long)table->rows, (long long)before, (long long)after);
    source->rows = (table->rows - before - after) / unit + 1;
    source->blocks[0] = (Block){NUMBER_NATIVE, table->path, source->rows, before, unit, values};
    source->blocks[1] =
        (Block){NUMBER_NATIVE, table->path, source->rows, after, unit, values + before};
    return true;
}
