namespace Agent.Compiler;

/// <summary>
/// Counts what a family of a policy needs if each class of addresses has a table, and stops where that is too much.
/// </summary>
/// <remarks>The answer hangs on the policy and on the compiler's own limits, on nothing that came before.</remarks>
/// <param name="settings">The limits.</param>
internal sealed class CellBudget(CompilerSettings settings)
{
    private long cells;
    private long ranges;

    public bool IsExceeded => cells > settings.MaxCells || ranges > settings.MaxRangeCells;

    /// <summary>Adds the map elements of a class.</summary>
    /// <param name="part">The class.</param>
    /// <param name="fallback">The decision that needs no element.</param>
    public void Add(PolicyProgram.ClassProgram part, uint fallback)
    {
        cells += part.AddressClasses.Count + part.Owns.Count;
        ranges += part.Owns.Count;
        Add(part.Table, fallback);
        foreach (PolicyProgram.OwnProgram own in part.Owns)
        {
            Add(own.Table, fallback);
        }
    }

    private void Add(DecisionTable table, uint fallback)
    {
        if (table.IsConstant)
        {
            return; // it is the mark itself
        }

        cells += table.Other != fallback ? 1 : 0;
        foreach (ProtocolDecision protocol in table.Protocols)
        {
            cells += protocol.Decision != table.Other ? 1 : 0;
            foreach (PortCell cell in protocol.Cells)
            {
                bool isRange = PolicyEmitter.IsRange(cell, settings);
                cells += isRange ? 1 : cell.Destination.Last - cell.Destination.First + 1;
                ranges += isRange ? 1 : 0;
            }
        }
    }
}
