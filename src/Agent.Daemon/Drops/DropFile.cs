using System.Globalization;
using System.Text;

namespace Agent.Daemon.Drops;

/// <summary>A file of lines that is put aside when it is full: drops.json, drops.json.1, drops.json.2 ...</summary>
/// <remarks>What cannot be written is lost, and said so: records are not worth a full disk's trouble.</remarks>
/// <param name="path">The file.</param>
/// <param name="maxBytes">Put aside before it gets larger; a single line may be.</param>
/// <param name="keep">How many of those put aside are kept.</param>
internal sealed class DropFile(string path, long maxBytes, int keep) : IDisposable
{
    private FileStream? file;

    /// <returns>Null, or why the line is lost.</returns>
    public string? Write(string line)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(line + "\n");
        try
        {
            file ??= Open();
            if (file.Length > 0 && file.Length + bytes.Length > maxBytes)
            {
                Rotate();
                file = Open();
            }

            // Without a buffer a line is in the file whole, or is not.
            long begin = file.Length;
            try
            {
                file.Write(bytes);
            }
            catch (IOException)
            {
                file.SetLength(begin);
                throw;
            }

            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Dispose();
            return e.Message;
        }
    }

    public void Dispose()
    {
        file?.Dispose();
        file = null;
    }

    private FileStream Open()
    {
        var options = new FileStreamOptions
        {
            Mode = FileMode.Append,
            Access = FileAccess.Write,
            Share = FileShare.Read | FileShare.Delete,
            BufferSize = 0,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead,
        };
        return new FileStream(path, options);
    }

    private void Rotate()
    {
        Dispose();
        for (int number = keep; number > 0; number--)
        {
            string from = number == 1 ? path : Aside(number - 1);
            if (File.Exists(from))
            {
                File.Move(from, Aside(number), overwrite: true);
            }
        }

        if (keep == 0)
        {
            File.Delete(path);
        }
    }

    private string Aside(int number) => string.Create(CultureInfo.InvariantCulture, $"{path}.{number}");
}
