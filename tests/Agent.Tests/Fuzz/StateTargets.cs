using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Agent.Contract;
using Agent.Daemon.Counting;
using Agent.Daemon.Ownership;
using Agent.Daemon.Removal;
using Agent.Daemon.State;
using Agent.Tests.Contract;
using Agent.Tests.State;

namespace Agent.Tests.Fuzz;

/// <summary>
/// The state file: broken anywhere, or whole records of broken messages. It is read or set aside; what was read is read
/// again.
/// </summary>
internal sealed class StateFileTarget : FuzzTarget
{
    private const int HeaderBytes = 8;

    public override string Name => "state";

    public override int Inputs => 30_000;

    public override long LeastAllowance => 8 << 20;

    public override long AllowancePerByte => 5000;

    public override byte[] Mutate(byte[] input, byte[] other, Random random)
    {
        var records = new List<StateRecord>();
        using (var file = new StateFile(TornDisk.With("state", input)))
        {
            try
            {
                records.AddRange(file.Load());
            }
            catch (Exception e) when (e is StateDamagedException or StateTooNewException)
            {
                // then it is broken further
            }
        }

        if (records.Count == 0 || random.Next(3) == 0)
        {
            return WireMutations.Of(input, random);
        }

        int at = random.Next(records.Count);
        StateRecord record = records[at];
        switch (random.Next(5))
        {
            case 0: records.RemoveAt(at); break;
            case 1: records.Insert(random.Next(records.Count + 1), record); break;
            case 2: records[at] = record with { Kind = (StateRecordKind)random.Next(5) }; break;
            default: records[at] = record with { Payload = WireMutations.Of(record.Payload, random) }; break;
        }

        return [.. input[..Math.Min(input.Length, HeaderBytes)], .. records.SelectMany(StateFile.Format)];
    }

    public override string Read(byte[] input)
    {
        var disk = TornDisk.With("state", input);
        using var file = new StateFile(disk);
        var saved = SavedPolicy.Load(file);
        if (saved.Damage is { } damage)
        {
            FuzzException.Unless(
                saved.Policy.Revision == 0 && saved.Policy.Vnics.Count == 0, "a damaged file says something");
            FuzzException.Unless(
                disk.Read("state") is null && disk.Read("state.damaged") is { Length: > 0 } or []
                    && input.AsSpan().StartsWith(disk.Read("state.damaged")), "what was damaged is not kept");
            return Kind(damage);
        }

        byte[] hash = StateHash.Of(saved.Policy);
        using var second = new StateFile(disk);
        var again = SavedPolicy.Load(second);
        FuzzException.Unless(
            again.Damage is null && again.Epoch == saved.Epoch
                && StateHash.Of(again.Policy).AsSpan().SequenceEqual(hash),
            $"read again it is another state: {again.Damage}");
        return $"{saved.Policy.Vnics.Count > 0} {saved.Policy.Groups.Count > 0} {input.Length / 200}";
    }
}

/// <summary>The small files of the state directory: who holds the lease, what is to be taken away.</summary>
internal sealed class StateTextTarget : FuzzTarget
{
    public override string Name => "statetext";

    public override byte[] Mutate(byte[] input, byte[] other, Random random)
    {
        byte[] text = TextMutations.Of(input, other, random);
        int hash = text.AsSpan().LastIndexOf("sha256 "u8);
        return hash < 0 || random.Next(2) == 0 ? text
            : [.. text[..hash], .. Encoding.UTF8.GetBytes(string.Create(
                CultureInfo.InvariantCulture, $"sha256 {Convert.ToHexStringLower(SHA256.HashData(text[..hash]))}\n"))];
    }

    public override string Read(byte[] input)
    {
        string text = Encoding.UTF8.GetString(input);
        Lease? lease = LeaseFile.Parse(text);
        FuzzException.Unless(lease is null || LeaseFile.Format(lease) == text, "a lease that was not written");
        var footprint = Footprint.Parse(text);
        FuzzException.Unless(
            Footprint.Parse(footprint.Format()).Format() == footprint.Format(), "a footprint is not itself");
        FuzzException.Unless(
            footprint.Sysctls.Keys.All(name => name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_')),
            "a sysctl's name is a path");
        return $"{lease is null} {footprint.Tables.Count} {footprint.Sysctls.Count}";
    }
}

/// <summary>The counters' ledger, with a checksum that is right half of the time.</summary>
internal sealed class LedgerTarget : FuzzTarget
{
    public override string Name => "counters";

    public override byte[] Mutate(byte[] input, byte[] other, Random random)
    {
        byte[] body = input[..^Math.Min(input.Length, SHA256.HashSizeInBytes)];
        return random.Next(4) == 0 ? WireMutations.Of(input, random) : Hashed(WireMutations.Of(body, random));
    }

    public static byte[] Hashed(byte[] body) => [.. body, .. SHA256.HashData(body)];

    public override string Read(byte[] input)
    {
        CounterLedger ledger = LedgerFile.Read(input, out string? damage);
        if (damage is not null)
        {
            FuzzException.Unless(!ledger.Entries.Any() && !ledger.States.Any(), "a damaged ledger counts");
            return Kind(damage);
        }

        // What nobody writes, a key that stands twice, is gone when it has been written once.
        byte[] written = LedgerFile.Write(LedgerFile.Read(LedgerFile.Write(ledger), out damage));
        FuzzException.Unless(damage is null, $"what was written is damaged: {damage}");
        CounterLedger again = LedgerFile.Read(written, out damage);
        FuzzException.Unless(
            damage is null && LedgerFile.Write(again).AsSpan().SequenceEqual(written), "a ledger is not itself");
        return $"{ledger.Entries.Count()} {ledger.States.Count}";
    }
}
