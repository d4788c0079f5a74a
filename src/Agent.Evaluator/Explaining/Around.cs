using Agent.Evaluator.Forms;
using Agent.Evaluator.Wording;

namespace Agent.Evaluator.Explaining;

/// <summary>The packets around one that the same row decides: some addresses x some addresses x ports.</summary>
internal static class Around
{
    public static V1.PacketSet Of(PolicyForm form, PacketTuple packet, AddressSet ownAddresses, AddressNames names)
    {
        Diagrams diagrams = form.Diagrams;
        int remote = form.Remote.AtomOf(packet.Remote(form.Direction));
        int own = form.Own.AtomOf(packet.Own(form.Direction));
        int decider = form.Rows.IndexOf(form.At(packet));
        var mine = new DiagramMap(diagrams, row => row == decider ? 1 : 0);
        Diagram inside = mine.Of(form.Deciders(remote, own));
        HashSet<int> remotes = [.. Enumerable.Range(0, form.Remote.Count)
            .Where(atom => mine.Of(form.Deciders(atom, own)) == inside)];
        HashSet<int> owns = [.. Enumerable.Range(0, form.Own.Count)
            .Where(atom => remotes.All(other => mine.Of(form.Deciders(other, atom)) == inside))];
        AddressScope there = names.Describe(AddressSet.Of(form.Remote, form.Family, remotes.Contains));
        AddressSet here = AddressSet.Of(form.Own, form.Family, owns.Contains).Intersect(ownAddresses);
        AddressScope? at = here.SameAs(ownAddresses) ? null : new AddressNames(form.Family, []).Describe(here);
        ServiceSet services = ServiceSet.Of(diagrams, inside);
        return new V1.PacketSet
        {
            Services = Scopes.Message(services),
            Remote = Scopes.Message(there),
            Own = at is null ? null : Scopes.Message(at),
            Text = TrafficWords.Of(form.Direction, services, [there], at),
        };
    }
}
