using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// The seam to the kernel: read, commit conditionally. <c>KernelFirewall</c> here, a simulated one in the tests.
/// </summary>
internal interface IFirewall
{
    /// <summary>nf_tables' generation counter: changes with every commit of anyone in this namespace.</summary>
    uint ReadGeneration();

    /// <summary>Our tables as the kernel holds them, and the generation at which they were so.</summary>
    (Ruleset Ruleset, uint Generation) Read();

    /// <summary>What committed operations touched, as the kernel holds it now; at least that.</summary>
    /// <param name="expected">What all of our tables should hold now.</param>
    /// <param name="ops">What was committed on the way there.</param>
    /// <param name="generation">After the last of them; if others committed since, everything is read.</param>
    /// <returns>
    /// <paramref name="expected"/> itself if nothing differs from it, and the generation at which it was so.
    /// </returns>
    (Ruleset Ruleset, uint Generation) ReadBack(Ruleset expected, IReadOnlyList<NftOp> ops, uint generation);

    /// <summary>Tables of this name, in the inet and bridge families, as the kernel holds them.</summary>
    Ruleset ReadAside(string table);

    /// <summary>Why the last reading says that nothing can be written, or null.</summary>
    string? Obstacle => null;

    /// <summary>One transaction, only if nobody who can change our tables committed since a generation.</summary>
    /// <param name="ops">At least one.</param>
    /// <param name="generation">Null: whoever did.</param>
    CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation);

    /// <summary>
    /// Clears bits of the mark of every live session whose mark, under a mask, has a value: its next packet is judged
    /// again. An empty mask means all sessions.
    /// </summary>
    void Unmark(uint mask, uint value, uint clear);

    /// <summary>
    /// Lets live TCP sessions of conntrack zones go on whose last packets nobody tracked there. Nothing may be put into
    /// these zones meanwhile.
    /// </summary>
    /// <returns>How many there are.</returns>
    /// <exception cref="Netlink.NetlinkException">The kernel refused: some may be cut.</exception>
    int Retrack(IReadOnlySet<ushort> zones);
}
