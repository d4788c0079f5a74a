using System.Text;
using Agent.Daemon.State;

namespace Agent.Daemon.Removal;

/// <summary>The footprint in the state directory: each thing is noted before it is done.</summary>
internal sealed class FootprintFile
{
    private readonly string path;
    private readonly ILogger? log;
    private bool warned;

    /// <param name="directory">The state directory; made when something is noted.</param>
    /// <param name="log">Is told what cannot be noted; it is done all the same: enforcement comes first.</param>
    public FootprintFile(string directory, ILogger? log)
    {
        path = Path.Combine(directory, "footprint");
        this.log = log;
        Held = Load();
    }

    public Footprint Held { get; private set; }

    /// <summary>Tables are about to be made.</summary>
    /// <param name="table">Their name.</param>
    /// <param name="marks">Bits of conntrack marks that go with them.</param>
    public void NoteTable(string table, uint marks) =>
        Note(Held with { Tables = Held.Tables.SetItem(table, marks) });

    /// <summary>A sysctl is about to be set.</summary>
    public void NoteSysctl(string name, ChangedSysctl changed) =>
        Note(Held with { Sysctls = Held.Sysctls.SetItem(name, changed) });

    /// <summary>Nothing is left in the kernel.</summary>
    /// <exception cref="IOException">It cannot be deleted.</exception>
    /// <exception cref="UnauthorizedAccessException">Likewise.</exception>
    public void Delete() => File.Delete(path);

    private Footprint Load()
    {
        try
        {
            return File.Exists(path) ? Footprint.Parse(File.ReadAllText(path)) : Footprint.None;
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            return Footprint.None;
        }
    }

    private void Note(Footprint now)
    {
        // The file too: it may have been lost while we were away.
        if (now.Format() == Held.Format() && File.Exists(path))
        {
            return;
        }

        Held = now;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            WholeFile.Replace(path, Encoding.UTF8.GetBytes(now.Format()));
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            if (!warned)
            {
                log?.FootprintUnsaved(path, e.Message);
                warned = true;
            }
        }
    }
}
